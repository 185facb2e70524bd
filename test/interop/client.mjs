// One paid request through the mppx client library: node client.mjs URL [BODY]
//
// The token comes from the processor's own SDK, as a test wallet would mint it. Prints one JSON line for
// interop_test.go: what was offered, what was answered, and what the seller's side of the processor says about it.
import { Mppx, stripe } from 'mppx/client'
import { Receipt } from 'mppx'
import Stripe from 'stripe'

const [url, body] = process.argv.slice(2)
const processor = new URL(process.env.PROCESSOR_URL)
const sdk = new Stripe(process.env.MPPX_STRIPE_SECRET_KEY, {
  host: processor.hostname,
  port: Number(processor.port),
  protocol: 'http',
  maxNetworkRetries: 0,
  telemetry: false,
})

const minted = []
const client = Mppx.create({
  polyfill: false,
  methods: [
    stripe({
      paymentMethod: process.env.PAYMENT_METHOD ?? 'pm_card_visa',
      createToken: async ({ amount, currency, expiresAt, networkId, paymentMethod }) => {
        const token = await sdk.rawRequest('POST', '/v1/test_helpers/shared_payment/granted_tokens', {
          payment_method: paymentMethod,
          usage_limits: { currency, max_amount: Number(amount), expires_at: expiresAt },
          seller_details: { network_id: networkId },
        }, { apiVersion: '2026-07-29.preview' })
        minted.push(token.id)
        return token.id
      },
    }),
  ],
})

const offered = []
client.onChallengeReceived(({ challenge }) => { offered.push(challenge) })

const init = body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body }
const answer = await client.fetch(url, init)
const text = await answer.text()
const header = answer.headers.get('payment-receipt')
const receipt = header === null ? null : Receipt.deserialize(header)
const intent = receipt === null ? null : await sdk.paymentIntents.retrieve(receipt.reference)

console.log(JSON.stringify({
  status: answer.status,
  body: text,
  cacheControl: answer.headers.get('cache-control'),
  paywallReceipt: answer.headers.get('paywall-receipt'),
  receipt,
  offered,
  tokens: minted.length,
  intent: intent && { id: intent.id, status: intent.status, amount: intent.amount, currency: intent.currency },
}))

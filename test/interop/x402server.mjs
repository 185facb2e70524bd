// A stock x402 server that takes Link tokens with paywall as its facilitator, and one stock client that pays it:
// node x402server.mjs FACILITATOR_URL
//
// The scheme is registered on both sides as the SDK wants custom schemes; everything else is the SDK's own. The token
// comes from the processor's SDK. Prints one JSON line for x402_test.go.
import express from 'express'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { wrapFetchWithPaymentFromConfig, decodePaymentResponseHeader } from '@x402/fetch'
import Stripe from 'stripe'

const [facilitator] = process.argv.slice(2)
const { FACILITATOR_TOKEN, LINK_NETWORK: network, PROCESSOR_URL, PROCESSOR_KEY, PROFILE: profile } = process.env
const scheme = 'auth-capture'

const authorization = { Authorization: `Bearer ${FACILITATOR_TOKEN}` }
const client = new HTTPFacilitatorClient({
  url: facilitator,
  createAuthHeaders: async () => ({ verify: authorization, settle: authorization, supported: authorization }),
})

// Dollars become cents; the facilitator says what else the entry has.
const selling = {
  scheme,
  defaultAssetTransferMethod: 'default',
  paymentFlows: { default: { default: 'upfront', supported: ['upfront'] } },
  parsePrice: async price => ({ amount: String(Math.round(Number(String(price).replace('$', '')) * 100)), asset: 'USD', extra: {} }),
  getAssetDecimals: () => 2,
  enhancePaymentRequirements: async (requirements, kind) => ({ ...requirements, extra: { ...requirements.extra, ...kind.extra } }),
}

const app = express()
let served = 0
app.use(paymentMiddleware(
  { 'GET /report': { accepts: { scheme, network, price: '$1.50', payTo: profile, maxTimeoutSeconds: 60 }, description: 'One report' } },
  new x402ResourceServer(client).register(network, selling),
))
app.get('/report', (_, res) => { served++; res.json({ report: 7 }) })
const listener = await new Promise(resolve => { const l = app.listen(0, '127.0.0.1', () => resolve(l)) })
const url = `http://127.0.0.1:${listener.address().port}/report`

const processor = new URL(PROCESSOR_URL)
const sdk = new Stripe(PROCESSOR_KEY, { host: processor.hostname, port: Number(processor.port), protocol: 'http', maxNetworkRetries: 0, telemetry: false })
async function token(amount) {
  const granted = await sdk.rawRequest('POST', '/v1/test_helpers/shared_payment/granted_tokens', {
    payment_method: 'pm_card_visa',
    usage_limits: { currency: 'usd', max_amount: amount, expires_at: Math.floor(Date.now() / 1000) + 600 },
    seller_details: { network_id: profile },
  }, { apiVersion: '2026-07-29.preview' })
  return granted.id
}

let limit = 150
const paying = {
  scheme,
  createPaymentPayload: async (x402Version, requirements) => ({
    x402Version,
    payload: { token: await token(Math.min(limit, Number(requirements.amount))), paymentId: crypto.randomUUID() },
  }),
}
const pay = wrapFetchWithPaymentFromConfig(fetch, { schemes: [{ network, client: paying }], spendControls: false })

async function once() {
  const answer = await pay(url)
  const header = answer.headers.get('payment-response')
  return { status: answer.status, body: await answer.text(), settled: header === null ? null : decodePaymentResponseHeader(header) }
}

const bought = await once()
limit = 100 // a token for less than the price
const short = await once()
const charges = await sdk.charges.list({ limit: 10 })
console.log(JSON.stringify({ bought, short, served, charges: charges.data.map(c => c.amount) }))
listener.close()

// One paid request through a stock x402 client: node x402.mjs CLIENT URL [BODY]
//
// CLIENT is fetch (version 2), both (versions 1 and 2), v1 (fetch with version 1 alone), legacy (x402-fetch 1) or
// axios. The key comes from PAYER_KEY. Prints one JSON line for x402_test.go: the answer, and what the client's own
// decoder makes of the settlement in it.
import { wrapFetchWithPaymentFromConfig, decodePaymentResponseHeader } from '@x402/fetch'
import { wrapAxiosWithPaymentFromConfig } from '@x402/axios'
import { ExactEvmScheme } from '@x402/evm'
import { ExactEvmSchemeV1 } from '@x402/evm/exact/v1/client'
import { extractReceiptFromResponse, verifyReceiptSignatureJWS } from '@x402/extensions/offer-receipt'
import axios from 'axios'
import { createWalletClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'

const [kind, url, body] = process.argv.slice(2)
const account = privateKeyToAccount(process.env.PAYER_KEY)
const v2 = { network: 'eip155:84532', client: new ExactEvmScheme(account) }
const v1 = { network: 'base-sepolia', client: new ExactEvmSchemeV1(account), x402Version: 1 }
const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body }

async function legacy() {
  const { wrapFetchWithPayment } = await import('x402-fetch')
  return wrapFetchWithPayment(fetch, createWalletClient({ account, chain: baseSepolia, transport: http() }), 10n ** 9n)
}

const clients = {
  fetch: () => wrapFetchWithPaymentFromConfig(fetch, { schemes: [v2] }),
  both: () => wrapFetchWithPaymentFromConfig(fetch, { schemes: [v2, v1] }),
  v1: () => wrapFetchWithPaymentFromConfig(fetch, { schemes: [v1] }),
  legacy,
}

async function viaFetch() {
  const pay = await clients[kind]()
  const answer = await pay(url, body === undefined ? { method: 'GET' } : post)
  return { status: answer.status, header: name => answer.headers.get(name), body: await answer.text() }
}

async function viaAxios() {
  const api = wrapAxiosWithPaymentFromConfig(axios.create({ responseType: 'text', transformResponse: x => x }), { schemes: [v2] })
  const answer = await (body === undefined ? api.get(url) : api.post(url, body, { headers: post.headers }))
  return { status: answer.status, header: name => answer.headers[name] ?? null, body: answer.data }
}

const answer = kind === 'axios' ? await viaAxios() : await viaFetch()
const header = answer.header('payment-response') ?? answer.header('x-payment-response')
const settled = header === null ? null : decodePaymentResponseHeader(header)

// The receipt of the offer-receipt extension, checked by the extension's own verifier against our published keys.
let receipt = null
const signed = settled?.extensions?.['offer-receipt']?.info?.receipt
if (signed) {
  const jwks = await (await fetch(new URL('/.well-known/jwks.json', url))).json()
  const { importJWK } = await import('jose')
  const [head] = signed.signature.split('.')
  const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString())
  const key = jwks.keys.find(k => k.kid === kid)
  receipt = { kid, payload: await verifyReceiptSignatureJWS(signed, await importJWK(key)) }
}

console.log(JSON.stringify({
  status: answer.status,
  body: answer.body,
  cacheControl: answer.header('cache-control'),
  paywallReceipt: answer.header('paywall-receipt'),
  answeredIn: answer.header('payment-response') !== null ? 2 : answer.header('x-payment-response') !== null ? 1 : 0,
  settled,
  receipt,
  payer: account.address,
}))

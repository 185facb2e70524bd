// Package stripe is the rail that charges Shared Payment Tokens through the
// processor of that name: [Method] implements [payment.Method], reads its
// signed webhooks, and lists its charges for reconciliation. With manual capture it
// is a [payment.Holder].
//
// It keeps the processor's books for another rail, too: [Deposits] are addresses
// that stablecoins are paid to, and a [Deliverer] enters what was paid there.
//
// The processor can lie by omission: a lost answer says nothing about the
// money. So every request is made of bytes that were stored before, under a key
// derived from the challenge; one attempt is made per call, with the retries of
// the library off; and an answer counts as a success only when every field
// agrees with the payment. What an error may say is in [Error]: the processor's
// own text, which quotes tokens and personal data, never leaves this package.
package stripe

// Package payment is the core: the neutral words of a purchase, the one state
// table, and the [Processor] that claims, settles, recovers and refunds.
//
// A wire codec (a [Protocol]) turns offers into headers and headers into a
// [Credential]. A rail (a [Method]) turns a [Quote] into an [Offer] and moves
// money. The rules that must hold once for all of them live here:
//
//   - one challenge id is charged at most once, one instrument pays at most once,
//     both decided by an insert on a unique index ([Store.Claim]);
//   - no money call leaves before the intent that describes it is durable;
//   - an unknown outcome is never an invitation to pay again ([KindPending]);
//   - every settled payment is delivered, refunded, credited, open or under
//     review, and each change of state carries its ledger entries with it.
package payment

// Package wallet is the paying side of the Payment scheme: a [Transport] that
// answers a 402 under a spending [Policy], and [LinkClient], which gets the money
// from a person's Link wallet.
//
// A purchase has four steps. The request is sent bare and answered 402. The
// policy is asked, then the person if the policy says so, then the wallet, which
// makes a proof good for exactly that price and seller. The request is sent bare
// once more, and the fresh offer must equal the one that was agreed to. Only
// then does the credential leave, after it is in the [Journal].
//
// From there on the outcome may become unknown: the answer is lost, the seller
// says 503, this process ends. Then the same credential is presented again, by
// this call or a later one for the same request, and no second proof is made.
//
// Everything a seller sends is hostile until compared: prices against the
// policy, the realm against the host, the second offer against the first, and
// text is stripped of what a terminal would obey ([Clean]).
package wallet

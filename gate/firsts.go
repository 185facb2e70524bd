package gate

import (
	"net/netip"

	lru "github.com/hashicorp/golang-lru/v2"

	"paywall/payment"
)

// firstsKept bounds how many payments are remembered with who presented them.
const firstsKept = 16384

// firsts remembers from where a public credential was presented when it began its
// payment, which was before anybody else could know it. Whoever rebuilds it later,
// from what the network shows, comes from elsewhere and collects nothing. What is
// forgotten, by a restart among others, goes to the first that presents it then: the
// promise to deliver what was paid for outweighs it. Keys are those of the stash.
type firsts struct {
	clients *lru.Cache[string, netip.Addr]
}

func newFirsts() (firsts, error) {
	c, err := lru.New[string, netip.Addr](firstsKept)
	return firsts{c}, err //nolint:wrapcheck // never: the size is a constant
}

// mine reports whether the credential may collect from here, and remembers the first.
func (f firsts) mine(key string, c payment.Credential, client netip.Addr) bool {
	if !c.Public {
		return true
	}
	first, known, _ := f.clients.PeekOrAdd(key, network(client))
	return !known || first == network(client)
}

// elsewhere reports whether it was presented first from elsewhere. Only public
// credentials are remembered.
func (f firsts) elsewhere(key string, client netip.Addr) bool {
	first, known := f.clients.Peek(key)
	return known && first != network(client)
}

// forget is for a payment that was let go: nothing of it is on the network, and its
// payer may begin again from wherever it is by then.
func (f firsts) forget(key string) { f.clients.Remove(key) }

// elsewhere reports whether what the key stands for is another client's.
func (x *exchange) elsewhere(key string) bool {
	client := x.g.cfg.Client(x.r)
	return x.g.firsts.elsewhere(key, client) || x.g.stash.elsewhere(key, network(client))
}

// errElsewhere is what somebody else is told.
func errElsewhere() error {
	return &payment.Error{
		Kind:   payment.KindInvalidChallenge,
		Detail: "This payment was made from elsewhere; present its receipt, or sign in.",
	}
}

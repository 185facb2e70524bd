package wallet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"paywall/money"
)

// day is what "per day" means: any 24 hours, so that no limit doubles at midnight
// and no time zone matters.
const day = 24 * time.Hour

// Limits is one amount per currency.
type Limits []money.Amount

// For returns the limit for a currency.
func (l Limits) For(currency string) (money.Amount, bool) {
	for _, a := range l {
		if a.Currency() == currency {
			return a, true
		}
	}
	return money.Amount{}, false
}

func (l Limits) check(name string) error {
	for i, a := range l {
		if !a.Valid() || a.Units() < 0 {
			return fmt.Errorf("wallet: %s: %s is not a limit", name, a)
		}
		if _, twice := l[:i].For(a.Currency()); twice {
			return fmt.Errorf("wallet: %s: %s is given twice", name, a.Currency())
		}
	}
	return nil
}

// Policy says what may be spent without asking, with asking, and not at all.
// The zero policy allows nothing.
type Policy struct {
	// PerPayment is the most that one payment may cost. A currency that is not
	// listed is not spent.
	PerPayment Limits
	// PerDay is the most that all payments of 24 hours may cost together. Empty
	// is no such limit; otherwise a currency that is not listed is not spent.
	PerDay Limits
	// PerHost is the same for one host; the name "*" stands for each host that has
	// no entry. A host without an entry has no such limit.
	PerHost map[string]Limits
	// Hosts are the only ones that may be paid; empty is any.
	Hosts []string
	// Methods are the only payment methods that may be used; empty is any that
	// the wallet knows.
	Methods []string
	// AskAbove is the amount up to which nobody is asked. A currency that is not
	// listed is always asked about.
	AskAbove Limits
	// Realms names the realm of a host whose challenges carry another than the
	// host's own name, which is refused otherwise: it may be another seller's
	// challenge passed on.
	Realms map[string]string
}

func (p *Policy) check() error {
	if len(p.PerPayment) == 0 {
		return errors.New("wallet: Policy.PerPayment: at least one currency needs a limit")
	}
	hosts := slices.Concat(p.Hosts, slices.Sorted(maps.Keys(p.PerHost)), slices.Sorted(maps.Keys(p.Realms)))
	for _, h := range hosts {
		if h != normalHost(h) || h == "" || strings.ContainsAny(h, "/@ ") || strings.Contains(h, ":") && strings.Count(h, ":") == 1 {
			return fmt.Errorf("wallet: Policy: %q is not a host name in lower case without a port", h)
		}
	}
	if slices.Contains(p.Hosts, "*") {
		return errors.New("wallet: Policy.Hosts: leave the list empty to allow any host")
	}
	err := errors.Join(p.PerPayment.check("Policy.PerPayment"), p.PerDay.check("Policy.PerDay"), p.AskAbove.check("Policy.AskAbove"))
	for _, h := range slices.Sorted(maps.Keys(p.PerHost)) {
		err = errors.Join(err, p.PerHost[h].check("Policy.PerHost of "+h))
	}
	return err
}

func normalHost(h string) string { return strings.ToLower(strings.TrimSuffix(h, ".")) }

// Check holds one payment against everything that needs no ledger. Errors are
// *[PolicyError]. host is a name without a port.
func (p *Policy) Check(host, method string, a money.Amount) error {
	host = normalHost(host)
	if len(p.Hosts) > 0 && !slices.Contains(p.Hosts, host) {
		return &PolicyError{Limit: LimitHosts, Host: host}
	}
	if len(p.Methods) > 0 && !slices.Contains(p.Methods, method) {
		return &PolicyError{Limit: LimitMethods, Amount: a}
	}
	limit, ok := p.PerPayment.For(a.Currency())
	if !ok || !a.IsPositive() {
		return &PolicyError{Limit: LimitCurrency, Amount: a}
	}
	if n, err := a.Cmp(limit); err != nil || n > 0 {
		return &PolicyError{Limit: LimitPayment, Amount: a, Max: limit}
	}
	_, err := p.caps(host, a, time.Time{})
	return err
}

// caps are the sums that a payment of a at now must keep within.
func (p *Policy) caps(host string, a money.Amount, now time.Time) ([]Cap, error) {
	var caps []Cap
	since := now.Add(-day)
	if len(p.PerDay) > 0 {
		limit, ok := p.PerDay.For(a.Currency())
		if !ok {
			return nil, &PolicyError{Limit: LimitDay, Amount: a}
		}
		caps = append(caps, Cap{Limit: LimitDay, Since: since, Max: limit})
	}
	own, ok := p.PerHost[host]
	if !ok {
		own, ok = p.PerHost["*"]
	}
	if ok {
		limit, listed := own.For(a.Currency())
		if !listed {
			return nil, &PolicyError{Limit: LimitHost, Host: host, Amount: a}
		}
		caps = append(caps, Cap{Limit: LimitHost, Host: host, Since: since, Max: limit})
	}
	return caps, nil
}

// Asks reports whether a person has to agree to a payment of a.
func (p *Policy) Asks(a money.Amount) bool {
	limit, ok := p.AskAbove.For(a.Currency())
	if !ok {
		return true
	}
	n, err := a.Cmp(limit)
	return err != nil || n > 0
}

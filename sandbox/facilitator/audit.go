package facilitator

import (
	"bytes"
	"cmp"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A Call is one verification or settlement as it was asked for.
type Call struct {
	At       time.Time `json:"at"`
	Endpoint string    `json:"endpoint"` // verify or settle
	// Body is the SHA-256 of the request: equal for what was sent again unchanged.
	Body string `json:"body_sha256"`
	// Authorization is the digest that was signed, if it was.
	Authorization string `json:"authorization,omitempty"`
	Network       string `json:"network,omitempty"`
	Payer         string `json:"payer,omitempty"`
	// Outcome is valid, settled, or the code of the refusal.
	Outcome     string `json:"outcome"`
	Transaction string `json:"transaction,omitempty"`
}

// maxCalls is how many calls are remembered.
const maxCalls = 10_000

func (s *Server) record(c Call) {
	c.Network, c.Payer = c.Network[:min(len(c.Network), 80)], c.Payer[:min(len(c.Payer), 80)]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if s.asked = append(s.asked, c); len(s.asked) > 2*maxCalls {
		s.asked = append([]Call(nil), s.asked[len(s.asked)-maxCalls:]...)
	}
}

// A Sum is all that one address received of one token: so many transfers of so
// many units together.
type Sum struct {
	Network   string `json:"network"`
	Asset     string `json:"asset"`
	To        string `json:"to"`
	Transfers int    `json:"transfers"`
	Units     string `json:"units"`
}

// A Balance is what an address has, if anything ever happened to it.
type Balance struct {
	Network string `json:"network"`
	Asset   string `json:"asset"`
	Address string `json:"address"`
	Units   string `json:"units"`
}

// An Audit is what really happened on the chains.
type Audit struct {
	Calls      []Call     `json:"calls"`
	TotalCalls int        `json:"total_calls"`
	Transfers  []Transfer `json:"transfers"`
	Received   []Sum      `json:"received"`
	Balances   []Balance  `json:"balances"`
	// Pending are the transactions that are not in a block.
	Pending   []string `json:"pending"`
	Truncated []string `json:"truncated,omitempty"` // names of the lists that are cut
}

// Audit reports everything, with at most limit rows in each list. The sums cover
// all transfers.
func (s *Server) Audit(limit int) Audit {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	a := Audit{Calls: slices.Clone(s.asked), TotalCalls: s.total, Transfers: []Transfer{}, Balances: []Balance{}, Pending: []string{}}
	sums := make(map[[3]string]*Sum)
	totals := make(map[[3]string]*big.Int)
	for _, id := range slices.Sorted(maps.Keys(s.chains)) {
		c := s.chains[id]
		for _, t := range c.transfers {
			a.Transfers = append(a.Transfers, *t)
			key := [3]string{t.Network, t.Asset, t.To}
			if sums[key] == nil {
				sums[key], totals[key] = &Sum{Network: t.Network, Asset: t.Asset, To: t.To}, new(big.Int)
			}
			sums[key].Transfers++
			totals[key].Add(totals[key], t.units)
		}
		a.Balances = append(a.Balances, c.listBalances()...)
		for _, p := range c.settlements {
			if p.waits {
				a.Pending = append(a.Pending, p.hash.String())
			}
		}
	}
	a.Received = make([]Sum, 0, len(sums))
	for key, sum := range sums {
		sum.Units = totals[key].String()
		a.Received = append(a.Received, *sum)
	}
	slices.SortFunc(a.Received, func(x, y Sum) int {
		return cmp.Or(strings.Compare(x.Network, y.Network), strings.Compare(x.Asset, y.Asset), strings.Compare(x.To, y.To))
	})
	slices.Sort(a.Pending)
	a.Calls = latest(&a, "calls", a.Calls, limit)
	a.Transfers = latest(&a, "transfers", a.Transfers, limit)
	a.Balances = latest(&a, "balances", a.Balances, limit)
	a.Received = latest(&a, "received", a.Received, limit)
	if a.TotalCalls > len(a.Calls) && !slices.Contains(a.Truncated, "calls") {
		a.Truncated = append(a.Truncated, "calls")
	}
	return a
}

func latest[T any](a *Audit, name string, rows []T, limit int) []T {
	if len(rows) <= limit {
		return rows
	}
	a.Truncated = append(a.Truncated, name)
	return rows[len(rows)-limit:]
}

func (c *chain) listBalances() []Balance {
	rows := make([]Balance, 0, len(c.balances))
	keys := slices.SortedFunc(maps.Keys(c.balances), func(x, y holding) int {
		return cmp.Or(bytes.Compare(x.token[:], y.token[:]), bytes.Compare(x.owner[:], y.owner[:]))
	})
	for _, h := range keys {
		rows = append(rows, Balance{Network: c.name, Asset: h.token.String(), Address: h.owner.String(), Units: c.balances[h].String()})
	}
	return rows
}

// Received lists the transfers to an address on a network, oldest first. It is
// what somebody sees who watches the chain.
func (s *Server) Received(network, to string) []Transfer {
	id, err := chainID(network)
	payee, bad := parseAddress(to)
	if err != nil || bad != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	c := s.chains[id]
	if c == nil {
		return nil
	}
	var found []Transfer
	for _, t := range c.transfers {
		if t.To == payee.String() {
			found = append(found, *t)
		}
	}
	return found
}

// Wake does what has become due, after the clock has jumped.
func (s *Server) Wake() {
	s.mu.Lock()
	before := s.transfersNow()
	s.sweep()
	moved := s.transfersNow() > before
	s.mu.Unlock()
	if moved && s.cfg.Transferred != nil {
		s.cfg.Transferred()
	}
}

func (s *Server) transfersNow() (n int) {
	for _, c := range s.chains {
		n += len(c.transfers)
	}
	return n
}

// known is the token that a network and a contract or symbol name; an empty asset
// is the network's first.
func (s *Server) known(network, asset string) (*chain, *token, error) {
	id, err := chainID(network)
	if err != nil || s.tokens[id] == nil {
		return nil, nil, &ControlError{Member: "network", Why: "want one of those in /facilitator/supported, such as eip155:84532"}
	}
	for _, t := range s.tokens[id] {
		if asset == "" || strings.EqualFold(asset, t.Contract) || asset == t.Symbol {
			return s.chains[id], t, nil
		}
	}
	return nil, nil, &ControlError{Member: "asset", Why: "want the contract or the symbol of a token of the network"}
}

// A ControlError names the member of a wish that is wrong.
type ControlError struct{ Member, Why string }

func (e *ControlError) Error() string { return e.Member + ": " + e.Why }

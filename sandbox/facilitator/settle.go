package facilitator

import (
	"context"
	"errors"
	"math/big"
	"time"
)

// How a facilitator answers when it is asked to settle what it has settled.
const (
	// RepeatStored gives the stored success again.
	RepeatStored = "stored"
	// RepeatRefused says what the chain would say: the nonce is used.
	RepeatRefused = "refused"
)

type pendingKey struct{}

// A pending is an order to leave a settlement unconfirmed.
type pending struct {
	after time.Duration
	moved bool
}

// LeavePending marks a request so that a settlement in it is answered
// settlement_pending, with its transaction. The money moves after a time of the
// sandbox's clock, or with zero when the settlement is asked for again; moved
// means it has moved already, and only its confirmation is missing.
func LeavePending(ctx context.Context, after time.Duration, moved bool) context.Context {
	return context.WithValue(ctx, pendingKey{}, pending{after, moved})
}

// A settlement is what became of one authorization.
type settlement struct {
	order  *order
	of     *token
	units  *big.Int
	hash   word
	due    time.Time // of one that is pending; zero waits for the next call
	waits  bool
	failed bool
}

// An outcome is the answer to a settlement.
type outcome struct {
	code        string // of a failure
	transaction string
	units       *big.Int
}

// settle executes an order, or finds that it was.
func (s *Server) settle(o *order, of *token, late *pending) outcome {
	digest := o.digest(of)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	c, now := s.chains[o.chain], s.now()
	if known := c.settlements[digest]; known != nil {
		return s.again(c, known, now)
	}
	units := o.amount
	switch {
	case o.permit == nil:
	case units.Cmp(o.permit.amount) > 0:
		return outcome{code: codeUptoTooMuch}
	case o.permit.upto && units.Sign() == 0:
		return outcome{units: units} // nothing used, nothing moves
	}
	if err := c.executable(o, of, units, now, margin); err != nil {
		return outcome{code: codeOf(err)}
	}
	done := &settlement{order: o, of: of, units: units, hash: s.transactionHash(c, digest)}
	c.settlements[digest] = done
	if late != nil && !late.moved {
		done.waits = true
		if late.after > 0 {
			done.due = now.Add(late.after)
			s.waiting = append(s.waiting, done)
		}
		return outcome{code: codePending, transaction: done.hash.String()}
	}
	c.execute(o, of, units, done.hash, s.self, now)
	if late != nil {
		return outcome{code: codePending, transaction: done.hash.String()}
	}
	return outcome{transaction: done.hash.String(), units: units}
}

// again answers for an authorization that was settled before.
func (s *Server) again(c *chain, known *settlement, now time.Time) outcome {
	if known.waits && known.due.IsZero() {
		s.confirm(c, known, now)
	}
	switch {
	case known.waits:
		return outcome{code: codePending, transaction: known.hash.String()}
	case known.failed:
		return outcome{code: codeState, transaction: known.hash.String()}
	case s.repeat == RepeatRefused && known.order.permit != nil:
		return outcome{code: codePermitNonce}
	case s.repeat == RepeatRefused:
		return outcome{code: codeNonce}
	}
	return outcome{transaction: known.hash.String(), units: known.units}
}

// confirm gets a pending settlement into a block, where it may fail: the payer may
// have spent the money, or used the nonce, or the time is over.
func (s *Server) confirm(c *chain, p *settlement, at time.Time) {
	p.waits = false
	if err := c.executable(p.order, p.of, p.units, at, 0); err != nil {
		p.failed = true
		c.mine(&transaction{hash: p.hash, from: s.self, to: p.of.contract}, at)
		return
	}
	c.execute(p.order, p.of, p.units, p.hash, s.self, at)
}

// sweep confirms what is due, in order, each at its own time.
func (s *Server) sweep() {
	now := s.now()
	for {
		first := -1
		for i, p := range s.waiting {
			if !p.due.After(now) && (first < 0 || p.due.Before(s.waiting[first].due)) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		p := s.waiting[first]
		s.waiting = append(s.waiting[:first:first], s.waiting[first+1:]...)
		s.confirm(s.chains[p.order.chain], p, p.due)
	}
}

// transactionHash is a hash that no other transaction has. The caller holds the mutex.
func (s *Server) transactionHash(c *chain, cause word) word {
	s.sequence++
	id, n := wordOfUint(c.id), wordOfUint(s.sequence)
	return keccak([]byte("sandbox transaction"), id[:], n[:], cause[:])
}

func codeOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code
	}
	return codeState
}

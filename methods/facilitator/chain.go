package facilitator

import (
	"context"
	"math/big"
	"slices"
	"time"

	"paywall/payment"
	"paywall/x402/evm"
)

const (
	// span is how many blocks are searched at once: nodes refuse more.
	span = 5000
	// maxSpans bounds a search. At four blocks a second it is a day.
	maxSpans = 80
	// clockSlack is by how much the chain's clock and ours may differ.
	clockSlack = 10 * time.Minute
	// finality is how far the chain must be past an authorization's end: a block that
	// is taken back may be followed by one of an earlier time.
	finality = 2 * time.Minute
)

// A chain says what became of authorizations for one token and one payee.
type chain struct {
	node         *node
	id           uint64
	asset, payTo evm.Address
}

// evidence is what the chain shows of the order: [payment.OutcomeSucceeded] with the
// transaction that paid us, [payment.OutcomeVoided] when it can never be carried out
// any more, [payment.OutcomeNone] while it still can, [payment.OutcomeMismatch] when
// it was used for something else. Trouble with the node is unknown.
func (c *chain) evidence(ctx context.Context, now time.Time, p payment.Payment, o order) payment.Outcome {
	height, seconds, err := c.head(ctx)
	if err != nil {
		return payment.Outcome{Reason: "node_unclear", Err: err}
	}
	used, err := c.used(ctx, height, o)
	switch {
	case err != nil:
		return payment.Outcome{Reason: "node_unclear", Err: err}
	case !used && c.over(o.before, seconds, now):
		return payment.Outcome{Class: payment.OutcomeVoided, Reason: "authorization_expired"}
	case !used:
		return payment.Outcome{Class: payment.OutcomeNone}
	case o.permit.Kind == evm.PermitUpto:
		// Permit2 does not log what a permit was used for: only the facilitator's
		// stored answer tells.
		return payment.Outcome{Class: payment.OutcomeStarted}
	}
	out, err := c.find(ctx, height, p, o)
	if err != nil {
		return payment.Outcome{Reason: "node_unclear", Err: err}
	}
	return out
}

// head is the newest block, of a node that is of our chain.
func (c *chain) head(ctx context.Context) (height, seconds uint64, err error) {
	id, err := c.node.chainID(ctx)
	if err != nil {
		return 0, 0, err
	}
	if id != c.id {
		return 0, 0, &Error{Op: "eth_chainId", Err: ErrAnswer}
	}
	return c.node.block(ctx, nil)
}

// over reports that the time is past by the chain's clock and by ours: one alone may
// be wrong.
func (*chain) over(before *big.Int, seconds uint64, now time.Time) bool {
	end := new(big.Int).Add(before, big.NewInt(int64(finality/time.Second)))
	return new(big.Int).SetUint64(seconds).Cmp(end) > 0 && big.NewInt(now.Unix()).Cmp(end) > 0
}

// used asks the token, or Permit2, as of the block.
func (c *chain) used(ctx context.Context, height uint64, o order) (bool, error) {
	if o.permit.Kind == evm.PermitUpto {
		// One bit for each nonce, 256 to a word.
		var position word
		new(big.Int).Rsh(o.permit.Nonce, 8).FillBytes(position[:])
		bits, err := c.node.view(ctx, height, evm.Permit2(), "nonceBitmap(address,uint256)", addressWord(o.from), position)
		return new(big.Int).SetBytes(bits[:]).Bit(int(o.permit.Nonce.Uint64()&0xff)) == 1, err
	}
	state, err := c.node.view(ctx, height, c.asset, "authorizationState(address,bytes32)", addressWord(o.from), o.authorization.Nonce)
	if err == nil && state != (word{}) && state != (word{31: 1}) {
		return false, &Error{Op: "eth_call", Err: ErrAnswer} // no boolean
	}
	return state != word{}, err
}

func topic(event string) word { return evm.Keccak256([]byte(event)) }

// find looks for the event that used the authorization, in the time since the payment
// was made.
func (c *chain) find(ctx context.Context, height uint64, p payment.Payment, o order) (payment.Outcome, error) {
	usedBy, canceled := topic("AuthorizationUsed(address,bytes32)"), topic("AuthorizationCanceled(address,bytes32)")
	since := p.CreatedAt.Add(-clockSlack)
	start, err := c.blockBefore(ctx, height, since)
	if err != nil {
		return payment.Outcome{}, err
	}
	for from := start; from <= height; from += span {
		events, err := c.node.logs(ctx, from, min(from+span-1, height), c.asset, []word{usedBy, canceled}, addressWord(o.from), o.authorization.Nonce)
		if err != nil {
			return payment.Outcome{}, err
		}
		for _, e := range events {
			ours := e.Address == c.asset && !e.Removed && len(e.Topics) == 3 && e.Topics[1] == addressWord(o.from) && e.Topics[2] == o.authorization.Nonce
			switch {
			case ours && e.Topics[0] == canceled:
				return payment.Outcome{Class: payment.OutcomeVoided, Reason: "authorization_canceled"}, nil
			case ours && e.Topics[0] == usedBy:
				return c.transfer(ctx, e.Tx, since, p, o)
			}
			return payment.Outcome{}, &Error{Op: "eth_getLogs", Err: ErrAnswer} // not what was asked for
		}
	}
	// It was used before the payment was made, so that it was not used for it.
	return payment.Outcome{Class: payment.OutcomeMismatch, Reason: "used_before"}, nil
}

// blockBefore returns a block that is older than the time, by less than the chain is
// long since then. On a chain younger than that it is the first.
func (c *chain) blockBefore(ctx context.Context, height uint64, t time.Time) (uint64, error) {
	for back := uint64(256); back < height; back *= 2 {
		number := quantity(height - back)
		_, seconds, err := c.node.block(ctx, &number)
		if err != nil {
			return 0, err
		}
		if seconds < uint64(max(t.Unix(), 0)) {
			return height - back, nil
		}
		if back > span*maxSpans {
			return 0, &Error{Op: "eth_getBlockByNumber", Err: ErrAnswer}
		}
	}
	return 0, nil
}

// transfer checks that the transaction that used the authorization paid us.
func (c *chain) transfer(ctx context.Context, tx word, since time.Time, p payment.Payment, o order) (payment.Outcome, error) {
	r, err := c.node.receipt(ctx, tx)
	if err != nil {
		return payment.Outcome{}, err
	}
	_, seconds, err := c.node.block(ctx, r.Block)
	if err != nil {
		return payment.Outcome{}, err
	}
	var value word
	o.value.FillBytes(value[:])
	paid := slices.ContainsFunc(r.Logs, func(e logged) bool {
		return e.Address == c.asset && !e.Removed && e.Data == value.String() &&
			slices.Equal(e.Topics, []word{topic("Transfer(address,address,uint256)"), addressWord(o.from), addressWord(c.payTo)})
	})
	mismatch := payment.Outcome{Class: payment.OutcomeMismatch, Reference: tx.String()}
	switch {
	case *r.Status != 1 || !paid:
		mismatch.Reason = "transfer_missing"
		return mismatch, nil
	case seconds < uint64(max(since.Unix(), 0)):
		mismatch.Reason = "used_before"
		return mismatch, nil
	case units(p.Amount) != o.body.Requirements.Amount:
		mismatch.Reason = "amount_differs"
		return mismatch, nil
	}
	return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: tx.String(), Amount: p.Amount}, nil
}

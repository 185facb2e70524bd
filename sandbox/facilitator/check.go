package facilitator

import (
	"math/big"
	"time"
)

// margin is how long an authorization must still be good, for the transaction to
// get into a block.
const margin = 6 * time.Second

// signed checks everything that will never change: that these terms were
// signed by the payer. It needs no lock.
func (s *Server) signed(o *order) (*token, error) {
	tokens := s.tokens[o.chain]
	if tokens == nil {
		return nil, refuse(codeNetwork)
	}
	var of *token
	for _, t := range tokens {
		if t.contract == o.asset {
			of = t
		}
	}
	if of == nil {
		return nil, refuse(codeNoAsset)
	}
	var err error
	bad := codeSignature
	if o.permit != nil {
		bad, err = codePermitSignature, s.permitTerms(o)
	} else {
		err = authorizationTerms(o, of)
	}
	if err != nil {
		return nil, err
	}
	if by, ok := signer(o.digest(of), o.signature); !ok || by != o.from() {
		return nil, refuse(bad)
	}
	return of, nil
}

func authorizationTerms(o *order, of *token) error {
	switch extra := o.accepts.Extra; {
	case extra.Transfer != "" && extra.Transfer != "eip3009":
		return refuse(codePayload)
	case extra.Name == "" || extra.Version == "":
		return refuse(codeNoDomain)
	case extra.Name != of.Name:
		return refuse(codeDomainName)
	case extra.Version != of.Version:
		return refuse(codeDomainVer)
	case o.authorization.to != o.payTo:
		return refuse(codeRecipient)
	case o.authorization.value.Cmp(o.amount) != 0:
		return refuse(codeValue)
	}
	return nil
}

func (s *Server) permitTerms(o *order) error {
	p, spender := o.permit, exactProxy
	if p.upto {
		spender = uptoProxy
	}
	method := o.accepts.Extra.Transfer
	if method == "" && p.upto {
		method = "permit2" // there is no other
	}
	switch {
	case method != "permit2":
		return refuse(codePayload)
	case p.spender != spender:
		return refuse(codePermitSpender)
	case p.to != o.payTo:
		return refuse(codePermitRecipient)
	case p.upto && p.facilitator != s.self:
		return refuse(codeUptoOther)
	case p.token != o.asset:
		return refuse(codePermitToken)
	case !p.upto && p.amount.Cmp(o.amount) != 0:
		return refuse(codePermitAmount)
	}
	return nil
}

// executable checks what may change from one moment to the next, on the chain as
// it is. units is what would move; soon is how long the signature must still hold.
func (c *chain) executable(o *order, of *token, units *big.Int, at time.Time, soon time.Duration) error {
	now, then := big.NewInt(at.Unix()), big.NewInt(at.Add(soon).Unix())
	funds := holding{of.contract, o.from()}
	if p := o.permit; p != nil {
		switch {
		case p.deadline.Cmp(then) < 0:
			return refuse(codePermitLate)
		case p.validAfter.Cmp(now) > 0:
			return refuse(codePermitEarly)
		case c.permits[permitOf{p.from, wordOf(p.nonce)}] > 0:
			return refuse(codePermitNonce)
		case c.allowance(funds).Cmp(units) < 0:
			return refuse(codePermitAllowance)
		}
	} else {
		a := o.authorization
		used := c.nonces[nonceOf{of.contract, a.from, a.nonce}] > 0
		switch {
		case a.validBefore.Cmp(then) < 0, a.validBefore.Cmp(now) <= 0: // the token wants it strictly before
			return refuse(codeLate)
		case a.validAfter.Cmp(now) > 0:
			return refuse(codeEarly)
		case used:
			return refuse(codeNonce)
		}
	}
	if c.balance(funds).Cmp(units) < 0 {
		return refuse(codeFunds)
	}
	return nil
}

// execute carries an order out in a transaction of the facilitator's. The caller
// has seen that it is executable.
func (c *chain) execute(o *order, of *token, units *big.Int, hash word, by address, at time.Time) {
	tx := &transaction{hash: hash, from: by, to: of.contract}
	if p := o.permit; p != nil {
		tx.to = p.spender
		c.spend(holding{of.contract, p.from}, units)
	} else {
		a := o.authorization
		tx.logs = append(tx.logs, event{contract: of.contract, topics: []word{topicUsed, a.from.word(), a.nonce}})
	}
	c.move(tx, of, o.from(), o.payTo, units, at)
	if p := o.permit; p != nil {
		c.permits[permitOf{p.from, wordOf(p.nonce)}] = tx.block
	} else {
		c.nonces[nonceOf{of.contract, o.authorization.from, o.authorization.nonce}] = tx.block
	}
}

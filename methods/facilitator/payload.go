package facilitator

import (
	"errors"
	"math/big"

	"paywall/internal/strictjson"
	"paywall/x402/evm"
)

const maxPayload = 8 << 10

// errPayload is a payload of another form. It quotes nothing: a signature is money.
var errPayload = errors.New("payload has another form")

// presented is [payment.Credential].Payload: what the payer signed, and in which
// version of the protocol it came.
type presented[P exactPayload | uptoPayload] struct {
	Payload P   `json:"payload"`
	Version int `json:"x402Version"`
}

// exactPayload is the scheme's payload for EIP-3009.
type exactPayload struct {
	Authorization struct {
		From        string `json:"from"`
		Nonce       string `json:"nonce"`
		To          string `json:"to"`
		ValidAfter  string `json:"validAfter"`
		ValidBefore string `json:"validBefore"`
		Value       string `json:"value"`
	} `json:"authorization"`
	Signature string `json:"signature"`
}

// uptoPayload is the scheme's payload for Permit2.
type uptoPayload struct {
	Permit struct {
		Deadline  string `json:"deadline"`
		From      string `json:"from"`
		Nonce     string `json:"nonce"`
		Permitted struct {
			Amount string `json:"amount"`
			Token  string `json:"token"`
		} `json:"permitted"`
		Spender string `json:"spender"`
		Witness struct {
			Facilitator string `json:"facilitator"`
			To          string `json:"to"`
			ValidAfter  string `json:"validAfter"`
		} `json:"witness"`
	} `json:"permit2Authorization"`
	Signature string `json:"signature"`
}

// A signed is what both schemes have in common once they are parsed.
type signed struct {
	from, to evm.Address
	token    evm.Address // zero of an authorization, which is for the domain's
	value    *big.Int
	// after and before bound the time in which it can be carried out, both exclusive.
	after, before *big.Int
	// nonce in the one form that it is told apart by.
	nonce     string
	signature evm.Signature
	digest    func(evm.Domain) evm.Hash

	authorization evm.Authorization // of the scheme exact
	permit        evm.Permit        // of the scheme upto
	payload       any               // the same in canonical form, a pointer to the scheme's
}

// parse reads a credential's payload. Unknown members are refused: the protocol has
// made it from what it parsed, so that there is nothing else in it.
func (m *Method) parse(data []byte) (signed, error) {
	if m.cfg.Scheme == SchemeUpto {
		return decode[uptoPayload](data)
	}
	return decode[exactPayload](data)
}

func decode[P exactPayload | uptoPayload](data []byte) (signed, error) {
	p := new(presented[P])
	if err := strictjson.Decode(data, p, strictjson.Limits{Bytes: maxPayload}); err != nil {
		return signed{}, errors.Join(errPayload, err)
	}
	if p.Version != 1 && p.Version != version {
		return signed{}, errPayload
	}
	return understand(&p.Payload)
}

// blank is what a payload of the scheme is decoded into.
func (m *Method) blank() any {
	if m.cfg.Scheme == SchemeUpto {
		return new(uptoPayload)
	}
	return new(exactPayload)
}

// understand parses the members of a scheme's payload and leaves them in canonical
// form.
func understand(payload any) (signed, error) {
	var r reader
	var s signed
	switch p := payload.(type) {
	case *exactPayload:
		s = r.exact(p)
	case *uptoPayload:
		s = r.upto(p)
	default:
		return signed{}, errPayload
	}
	if r.err != nil {
		return signed{}, r.err
	}
	s.payload = payload
	return s, nil
}

// A reader parses the members of a payload and keeps the first error.
type reader struct{ err error }

func read[T any](r *reader, parse func(string) (T, error), s string) T {
	v, err := parse(s)
	if err != nil && r.err == nil {
		r.err = errors.Join(errPayload, err)
	}
	return v
}

func (r *reader) exact(p *exactPayload) signed {
	a := evm.Authorization{
		From: read(r, evm.ParseAddress, p.Authorization.From), To: read(r, evm.ParseAddress, p.Authorization.To),
		Value:      read(r, evm.ParseUint, p.Authorization.Value),
		ValidAfter: read(r, evm.ParseUint, p.Authorization.ValidAfter), ValidBefore: read(r, evm.ParseUint, p.Authorization.ValidBefore),
		Nonce: read(r, evm.ParseHash, p.Authorization.Nonce),
	}
	s := signed{
		from: a.From, to: a.To, value: a.Value, after: a.ValidAfter, before: a.ValidBefore, nonce: a.Nonce.String(),
		signature: read(r, evm.ParseSignature, p.Signature), authorization: a, digest: a.Digest,
	}
	p.Authorization.From, p.Authorization.To, p.Authorization.Nonce = a.From.String(), a.To.String(), s.nonce
	p.Signature = s.signature.String()
	return s
}

func (r *reader) upto(p *uptoPayload) signed {
	in := &p.Permit
	permit := evm.Permit{
		Kind: evm.PermitUpto, From: read(r, evm.ParseAddress, in.From),
		Token: read(r, evm.ParseAddress, in.Permitted.Token), Amount: read(r, evm.ParseUint, in.Permitted.Amount),
		Spender: read(r, evm.ParseAddress, in.Spender), Nonce: read(r, evm.ParseUint, in.Nonce), Deadline: read(r, evm.ParseUint, in.Deadline),
		To: read(r, evm.ParseAddress, in.Witness.To), Facilitator: read(r, evm.ParseAddress, in.Witness.Facilitator),
		ValidAfter: read(r, evm.ParseUint, in.Witness.ValidAfter),
	}
	s := signed{
		from: permit.From, to: permit.To, token: permit.Token, value: permit.Amount, after: permit.ValidAfter, before: permit.Deadline,
		nonce: in.Nonce, signature: read(r, evm.ParseSignature, p.Signature), permit: permit,
		digest: func(d evm.Domain) evm.Hash { return permit.Digest(d.ChainID) },
	}
	in.From, in.Spender, in.Permitted.Token = permit.From.String(), permit.Spender.String(), permit.Token.String()
	in.Witness.To, in.Witness.Facilitator = permit.To.String(), permit.Facilitator.String()
	p.Signature = s.signature.String()
	return s
}

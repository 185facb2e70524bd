package facilitator

import (
	"encoding/json"
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
type presented struct {
	Payload json.RawMessage `json:"payload"`
	Version int             `json:"x402Version"`
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
	payload       json.RawMessage   // the same in canonical form
}

// parse reads a credential's payload. Unknown members are refused: the protocol has
// made it from what it parsed, so that there is nothing else in it.
func (m *Method) parse(data []byte) (signed, error) {
	var p presented
	limits := strictjson.Limits{Bytes: maxPayload}
	if err := strictjson.Decode(data, &p, limits); err != nil {
		return signed{}, errors.Join(errPayload, err)
	}
	if p.Version != 1 && p.Version != version {
		return signed{}, errPayload
	}
	return m.parseScheme(p.Payload)
}

func (m *Method) parseScheme(data []byte) (signed, error) {
	r := reader{}
	var s signed
	if m.cfg.Scheme == SchemeUpto {
		s = r.upto(data)
	} else {
		s = r.exact(data)
	}
	if r.err != nil {
		return signed{}, r.err
	}
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

func (r *reader) decode(data []byte, into any) {
	if err := strictjson.Decode(data, into, strictjson.Limits{Bytes: maxPayload}); err != nil {
		r.err = errors.Join(errPayload, err)
	}
}

func (r *reader) exact(data []byte) signed {
	var p exactPayload
	r.decode(data, &p)
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
	s.payload = r.encode(p)
	return s
}

func (r *reader) upto(data []byte) signed {
	var p uptoPayload
	r.decode(data, &p)
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
	s.payload = r.encode(p)
	return s
}

func (r *reader) encode(v any) json.RawMessage {
	if r.err != nil {
		return nil
	}
	data, err := marshal(v)
	if err != nil {
		r.err = err
	}
	return data
}

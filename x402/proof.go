package x402

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"paywall/x402/evm"
)

// proofKind is what a payer sends as the proof of one scheme.
type proofKind uint8

const (
	// transfer is an authorization of EIP-3009.
	transfer proofKind = iota
	// permit is one of Permit2, with a ceiling.
	permit
	// token is a processor's, which we have a [Binding] for.
	token
)

// proof is a scheme's payload, parsed. Everything that names or identifies a payment
// is made from it and not from what was sent, so that spellings do not count.
type proof struct {
	kind proofKind
	// payload is canonical (RFC 8785); for a token it is what the rail reads.
	payload json.RawMessage
	// identity is what the hash is over.
	identity json.RawMessage

	// Of a transfer or permit.
	from, to evm.Address
	value    string
	nonce    string
	// after and before bound the time in seconds since 1970.
	after, before *big.Int
	permit        evm.Permit

	// Of a token.
	token, id string
}

type wireAuthorization struct {
	From        string `json:"from"`
	Nonce       string `json:"nonce"`
	To          string `json:"to"`
	ValidAfter  string `json:"validAfter"`
	ValidBefore string `json:"validBefore"`
	Value       string `json:"value"`
}

type wirePermit struct {
	Deadline  string        `json:"deadline"`
	From      string        `json:"from"`
	Nonce     string        `json:"nonce"`
	Permitted wirePermitted `json:"permitted"`
	Spender   string        `json:"spender"`
	Witness   wireWitness   `json:"witness"`
}

type wirePermitted struct {
	Amount string `json:"amount"`
	Token  string `json:"token"`
}

type wireWitness struct {
	Facilitator string `json:"facilitator"`
	To          string `json:"to"`
	ValidAfter  string `json:"validAfter"`
}

// UnmarshalJSON reads by exact names.
func (a *wireAuthorization) UnmarshalJSON(data []byte) error {
	return readObject(data, member{"from", &a.From, true}, member{"nonce", &a.Nonce, true}, member{"to", &a.To, true},
		member{"validAfter", &a.ValidAfter, true}, member{"validBefore", &a.ValidBefore, true}, member{"value", &a.Value, true})
}

// UnmarshalJSON reads by exact names.
func (p *wirePermit) UnmarshalJSON(data []byte) error {
	return readObject(data, member{"deadline", &p.Deadline, true}, member{"from", &p.From, true}, member{"nonce", &p.Nonce, true},
		member{"permitted", &p.Permitted, true}, member{"spender", &p.Spender, true}, member{"witness", &p.Witness, true})
}

// UnmarshalJSON reads by exact names.
func (p *wirePermitted) UnmarshalJSON(data []byte) error {
	return readObject(data, member{"amount", &p.Amount, true}, member{"token", &p.Token, true})
}

// UnmarshalJSON reads by exact names.
func (w *wireWitness) UnmarshalJSON(data []byte) error {
	return readObject(data, member{"facilitator", &w.Facilitator, true}, member{"to", &w.To, true}, member{"validAfter", &w.ValidAfter, true})
}

// parseChain reads the payload of a payment on an EVM chain. One that could be read
// as two payments is refused.
func parseChain(data json.RawMessage) (proof, error) {
	var (
		signature string
		a         *wireAuthorization
		p         *wirePermit
	)
	if err := readObject(data, member{"signature", &signature, true}, member{"authorization", &a, false},
		member{"permit2Authorization", &p, false}); err != nil {
		return proof{}, err
	}
	if (a == nil) == (p == nil) {
		return proof{}, fmt.Errorf("%w: not exactly one authorization", ErrJSON)
	}
	sig, err := evm.ParseSignature(signature)
	if err != nil {
		return proof{}, fmt.Errorf("signature: %w", err)
	}
	if a != nil {
		return parseTransfer(*a, sig)
	}
	return parsePermit(*p, sig)
}

func parseTransfer(a wireAuthorization, sig evm.Signature) (proof, error) {
	var r parser
	out := proof{
		kind: transfer, from: parse(&r, evm.ParseAddress, a.From), to: parse(&r, evm.ParseAddress, a.To),
		value: parse(&r, evm.ParseUint, a.Value).String(),
		after: parse(&r, evm.ParseUint, a.ValidAfter), before: parse(&r, evm.ParseUint, a.ValidBefore),
		nonce: parse(&r, evm.ParseHash, a.Nonce).String(),
	}
	a.From, a.To, a.Nonce = out.from.String(), out.to.String(), out.nonce
	return out.encode(r.err, struct {
		Authorization wireAuthorization `json:"authorization"`
		Signature     string            `json:"signature"`
	}{a, sig.String()})
}

func parsePermit(p wirePermit, sig evm.Signature) (proof, error) {
	var r parser
	out := proof{kind: permit, permit: evm.Permit{
		Kind: evm.PermitUpto, From: parse(&r, evm.ParseAddress, p.From), Token: parse(&r, evm.ParseAddress, p.Permitted.Token),
		Amount: parse(&r, evm.ParseUint, p.Permitted.Amount), Spender: parse(&r, evm.ParseAddress, p.Spender),
		Nonce: parse(&r, evm.ParseUint, p.Nonce), Deadline: parse(&r, evm.ParseUint, p.Deadline),
		To: parse(&r, evm.ParseAddress, p.Witness.To), Facilitator: parse(&r, evm.ParseAddress, p.Witness.Facilitator),
		ValidAfter: parse(&r, evm.ParseUint, p.Witness.ValidAfter),
	}}
	in := &out.permit
	out.from, out.to, out.value, out.nonce = in.From, in.To, in.Amount.String(), in.Nonce.String()
	out.after, out.before = in.ValidAfter, in.Deadline
	p.From, p.Permitted.Token, p.Spender = in.From.String(), in.Token.String(), in.Spender.String()
	p.Witness.To, p.Witness.Facilitator = in.To.String(), in.Facilitator.String()
	return out.encode(r.err, struct {
		Permit    wirePermit `json:"permit2Authorization"`
		Signature string     `json:"signature"`
	}{p, sig.String()})
}

// parser keeps the first error.
type parser struct{ err error }

func parse[T any](r *parser, f func(string) (T, error), s string) T {
	v, err := f(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (p proof) encode(err error, v any) (proof, error) {
	if err != nil {
		return proof{}, err
	}
	if p.payload, err = marshal(v); err != nil {
		return proof{}, err
	}
	p.identity = p.payload
	return p, nil
}

const (
	maxToken     = 1024
	maxPaymentID = 128
)

var (
	errToken     = errors.New("token is missing or not one")
	errCard      = errors.New("token looks like a card number")
	errPaymentID = errors.New("payment id is not 1 to 128 printable characters")
)

// parseToken reads the payload of a processor's rail.
func parseToken(b *Binding, data json.RawMessage) (proof, error) {
	out := proof{kind: token}
	var id *string
	if err := readObject(data, member{b.TokenMember, &out.token, true}, member{b.IDMember, &id, false}); err != nil {
		return proof{}, err
	}
	switch {
	case !printable(out.token, maxToken):
		return proof{}, errToken
	case isCard(out.token):
		return proof{}, errCard
	case id != nil && !printable(*id, maxPaymentID):
		return proof{}, errPaymentID
	case id != nil:
		out.id = *id
	}
	var err error
	if out.payload, err = marshal(map[string]string{b.ProofMember: out.token}); err != nil {
		return proof{}, err
	}
	out.identity, err = marshal(struct {
		ID    string `json:"paymentId,omitempty"`
		Token string `json:"token"`
	}{out.id, out.token})
	return out, err
}

// printable reports 1 to limit ASCII characters without spaces, quotes and controls.
func printable(s string, limit int) bool {
	return s != "" && len(s) <= limit && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	}) < 0
}

// isCard recognises the number of a card, which must not be kept even for a moment
// longer than it takes to refuse it: 13 to 19 digits with a right last one (Luhn).
func isCard(s string) bool {
	s = strings.ReplaceAll(s, "-", "")
	if len(s) < 13 || len(s) > 19 {
		return false
	}
	sum := 0
	for i := range len(s) {
		c := s[len(s)-1-i]
		if c < '0' || c > '9' {
			return false
		}
		d := int(c - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// hash is [payment.Credential.Hash]: the same for both versions and all spellings.
// The payer's own name of a payment is part of it: all else of a transfer is on the
// chain once it has settled.
func (p *proof) hash(network, name string) string {
	if name == "" || p.kind == token {
		return digest("x402", network, string(p.identity))
	}
	return digest("x402 named", network, string(p.identity), name)
}

// Prefixes of challenge ids. They say which version was paid, so that the receipt
// goes into the field that its payer reads; that two versions of one authorization
// have two ids makes no two payments of it, for they share the instrument.
const (
	idPrefix   = "x402_"
	idPrefixV1 = "x402v1_"
)

// challengeID names the payment by what the payer chose once. asset and payTo are the
// server's own, or the payer's for an offer of the past.
func (p *proof) challengeID(version int, network, asset, payTo string) string {
	prefix := idPrefix
	if version == V1 {
		prefix = idPrefixV1
	}
	switch {
	case p.kind != token:
		return prefix + digest("evm", network, strings.ToLower(asset), p.from.String(), p.nonce)
	case p.id != "":
		return prefix + digest("psp", payTo, p.id)
	default:
		return prefix + digest("psp token", payTo, p.token)
	}
}

// digest separates its parts by a byte that none of them holds.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// settleTime is how long an authorization must still be good for, so that it can be
// carried out.
const settleTime = 6 * time.Second

// lastExpiry is when payments end that are good for ever: the last second of the year 9999.
const lastExpiry = 253402300799

// expires is when a payment by the proof may last be begun. A token ends when its
// processor says so, which is nothing that anybody here knows.
func (p *proof) expires() time.Time {
	end := int64(lastExpiry)
	if p.before != nil && p.before.IsInt64() {
		end = min(end, p.before.Int64())
	}
	return time.Unix(end, 0).Add(-settleTime).UTC()
}

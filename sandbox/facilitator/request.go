package facilitator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
)

// Codes of the protocol that this facilitator gives.
const (
	codePayload      = "invalid_payload"
	codeRequirements = "invalid_payment_requirements"
	codeVersion      = "invalid_x402_version"
	codeScheme       = "invalid_scheme"
	codeUnsupported  = "unsupported_scheme"
	codeNetwork      = "invalid_network"
	codeNoAsset      = "asset_not_deployed_contract"
	codeNoDomain     = "invalid_exact_evm_missing_eip712_domain"
	codeDomainName   = "invalid_exact_evm_token_name_mismatch"
	codeDomainVer    = "invalid_exact_evm_token_version_mismatch"

	codeRecipient = "invalid_exact_evm_payload_recipient_mismatch"
	codeValue     = "invalid_exact_evm_payload_authorization_value_mismatch"
	codeEarly     = "invalid_exact_evm_payload_authorization_valid_after"
	codeLate      = "invalid_exact_evm_payload_authorization_valid_before"
	codeSignature = "invalid_exact_evm_payload_signature"
	codeNonce     = "invalid_exact_evm_nonce_already_used"
	codeFunds     = "insufficient_funds"

	codePermitSpender   = "invalid_permit2_spender"
	codePermitRecipient = "invalid_permit2_recipient_mismatch"
	codePermitToken     = "permit2_token_mismatch"
	codePermitAmount    = "permit2_amount_mismatch"
	codePermitEarly     = "permit2_not_yet_valid"
	codePermitLate      = "permit2_deadline_expired"
	codePermitSignature = "invalid_permit2_signature"
	codePermitNonce     = "permit2_invalid_nonce"
	codePermitAllowance = "permit2_allowance_required"
	codeUptoOther       = "upto_facilitator_mismatch"
	codeUptoTooMuch     = "invalid_upto_evm_payload_settlement_exceeds_amount"

	codeState   = "invalid_transaction_state"
	codePending = "settlement_pending"
)

// A refusal is why a payment is not good, as a code of the protocol.
type refusal struct {
	code  string
	payer string // as the client wrote it, once it is known
	bad   bool   // the body itself cannot be read
}

func (r *refusal) Error() string { return r.code }

func refuse(code string) error { return &refusal{code: code} }

// The wire shapes of both versions, as far as they are read here. Unknown
// members are allowed everywhere.
type (
	wireBody struct {
		Version      int             `json:"x402Version"`
		Payload      wirePayload     `json:"paymentPayload"`
		Requirements json.RawMessage `json:"paymentRequirements"`
	}
	wirePayload struct {
		Version    int                        `json:"x402Version"`
		Scheme     string                     `json:"scheme"`  // version 1
		Network    string                     `json:"network"` // version 1
		Accepted   *wireRequirements          `json:"accepted"`
		Resource   *wireResource              `json:"resource"`
		Payload    *wireSigned                `json:"payload"`
		Extensions map[string]json.RawMessage `json:"extensions"`
	}
	wireResource struct {
		URL string `json:"url"`
	}
	wireRequirements struct {
		Scheme    string `json:"scheme"`
		Network   string `json:"network"`
		Amount    string `json:"amount"`
		MaxAmount string `json:"maxAmountRequired"` // version 1
		Asset     string `json:"asset"`
		PayTo     string `json:"payTo"`
		Extra     struct {
			Name        string `json:"name"`
			Version     string `json:"version"`
			Transfer    string `json:"assetTransferMethod"`
			Facilitator string `json:"facilitatorAddress"`
		} `json:"extra"`
	}
	wireSigned struct {
		Signature     string             `json:"signature"`
		Authorization *wireAuthorization `json:"authorization"`
		Permit        *wirePermit        `json:"permit2Authorization"`
	}
	wireAuthorization struct {
		From        string `json:"from"`
		To          string `json:"to"`
		Value       string `json:"value"`
		ValidAfter  string `json:"validAfter"`
		ValidBefore string `json:"validBefore"`
		Nonce       string `json:"nonce"`
	}
	wirePermit struct {
		From      string `json:"from"`
		Spender   string `json:"spender"`
		Nonce     string `json:"nonce"`
		Deadline  string `json:"deadline"`
		Permitted struct {
			Token  string `json:"token"`
			Amount string `json:"amount"`
		} `json:"permitted"`
		Witness struct {
			To          string `json:"to"`
			Facilitator string `json:"facilitator"`
			ValidAfter  string `json:"validAfter"`
		} `json:"witness"`
	}
)

const (
	schemeExact = "exact"
	schemeUpto  = "upto"
)

// An order is a payment that was read: what is asked for, and what was signed.
type order struct {
	version int
	network string // as it was written, a name in version 1
	chain   uint64
	scheme  string
	asset   address
	payTo   address
	amount  *big.Int // asked for; of upto at settlement, what is taken
	accepts wireRequirements
	terms   json.RawMessage   // accepts, as they came
	offered *wireRequirements // the client's copy, version 2

	payer         string // as it was written
	authorization *authorization
	permit        *permit
	signature     [65]byte

	resource   string
	discovered json.RawMessage // the extension bazaar, echoed
}

// read takes a body apart. Its errors are refusals.
func read(body []byte) (*order, error) {
	var in wireBody
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&in); err != nil {
		return nil, &refusal{code: codePayload, bad: true}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &refusal{code: codePayload, bad: true}
	}
	if in.Payload.Payload == nil {
		return nil, &refusal{code: codePayload, bad: true}
	}
	o := &order{version: in.Version, terms: in.Requirements}
	if err := json.Unmarshal(in.Requirements, &o.accepts); err != nil { // or there are none
		return nil, &refusal{code: codePayload, bad: true}
	}
	o.network, o.scheme = o.accepts.Network, o.accepts.Scheme
	if a := in.Payload.Payload.Authorization; a != nil {
		o.payer = a.From
	} else if p := in.Payload.Payload.Permit; p != nil {
		o.payer = p.From
	}
	if err := o.fill(&in); err != nil {
		if r, ok := errors.AsType[*refusal](err); ok {
			r.payer = o.payer
		}
		return nil, err
	}
	return o, nil
}

func (o *order) fill(in *wireBody) error {
	if in.Version != 1 && in.Version != 2 || in.Payload.Version != in.Version {
		return refuse(codeVersion)
	}
	if err := o.readTerms(in); err != nil {
		return err
	}
	signed := in.Payload.Payload
	if err := fillHex(o.signature[:], signed.Signature); err != nil {
		return refuse(codePayload)
	}
	switch {
	case (signed.Authorization == nil) == (signed.Permit == nil):
		return refuse(codePayload)
	case signed.Authorization != nil && o.scheme == schemeUpto, signed.Permit != nil && o.version == 1:
		return refuse(codePayload) // neither exists
	case signed.Authorization != nil:
		return o.readAuthorization(signed.Authorization)
	}
	return o.readPermit(signed.Permit)
}

// readTerms reads what is asked for, and holds the client's words for it against that.
func (o *order) readTerms(in *wireBody) error {
	amount, scheme, network := o.accepts.Amount, in.Payload.Scheme, in.Payload.Network
	name := o.network
	if o.version == 1 {
		amount = o.accepts.MaxAmount
		name = oldNames[o.network]
	} else {
		if o.offered = in.Payload.Accepted; o.offered == nil {
			return refuse(codePayload)
		}
		scheme, network = o.offered.Scheme, o.offered.Network
		if r := in.Payload.Resource; r != nil {
			o.resource, o.discovered = r.URL, in.Payload.Extensions["bazaar"]
		}
	}
	var err error
	switch {
	case o.scheme != schemeExact && (o.scheme != schemeUpto || o.version == 1):
		return refuse(codeUnsupported)
	case scheme != o.scheme:
		return refuse(codeScheme)
	case network != o.network:
		return refuse(codeNetwork)
	}
	if o.chain, err = chainID(name); err != nil {
		return refuse(codeNetwork)
	}
	if o.asset, err = parseAddress(o.accepts.Asset); err != nil {
		return refuse(codeRequirements)
	}
	if o.payTo, err = parseAddress(o.accepts.PayTo); err != nil {
		return refuse(codeRequirements)
	}
	if o.amount, err = parseUint(amount); err != nil {
		return refuse(codeRequirements)
	}
	if o.offered != nil && !o.sameTerms() {
		return refuse(codeRequirements)
	}
	return nil
}

// sameTerms compares what the client accepted with what is asked for. The amount
// of upto differs at settlement.
func (o *order) sameTerms() bool {
	a, b := o.offered, &o.accepts
	return strings.EqualFold(a.Asset, b.Asset) && strings.EqualFold(a.PayTo, b.PayTo) && (a.Amount == b.Amount || o.scheme == schemeUpto)
}

// A reader keeps the first error of several conversions.
type reader struct{ err error }

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) address(s string) address {
	a, err := parseAddress(s)
	r.keep(err)
	return a
}

func (r *reader) uint(s string) *big.Int {
	n, err := parseUint(s)
	r.keep(err)
	return n
}

func (o *order) readAuthorization(in *wireAuthorization) error {
	var r reader
	a := &authorization{from: r.address(in.From), to: r.address(in.To), value: r.uint(in.Value), validAfter: r.uint(in.ValidAfter), validBefore: r.uint(in.ValidBefore)}
	var err error
	a.nonce, err = parseWord(in.Nonce)
	r.keep(err)
	if r.err != nil {
		return refuse(codePayload)
	}
	o.authorization = a
	return nil
}

func (o *order) readPermit(in *wirePermit) error {
	var r reader
	p := &permit{
		from: r.address(in.From), spender: r.address(in.Spender), nonce: r.uint(in.Nonce), deadline: r.uint(in.Deadline),
		token: r.address(in.Permitted.Token), amount: r.uint(in.Permitted.Amount),
		to: r.address(in.Witness.To), validAfter: r.uint(in.Witness.ValidAfter), upto: o.scheme == schemeUpto,
	}
	if p.upto {
		p.facilitator = r.address(in.Witness.Facilitator)
	}
	if r.err != nil {
		return refuse(codePayload)
	}
	o.permit = p
	return nil
}

// from is who pays.
func (o *order) from() address {
	if o.permit != nil {
		return o.permit.from
	}
	return o.authorization.from
}

// digest is what the payer signed, if it is the payer's signature. It stands for
// the authorization: the same digest is the same payment.
func (o *order) digest(of *token) word {
	if o.permit != nil {
		return message(permitDomain(o.chain), o.permit.structure())
	}
	return message(of.separator, o.authorization.structure())
}

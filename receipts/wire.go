package receipts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"paywall/money"
)

// The payload as it is signed. Members are in alphabetical order and unsigned
// integers only, so that the bytes are also the RFC 8785 form of the object.
type payload struct {
	Amount      string    `json:"amount"`
	Audience    string    `json:"aud"`
	Currency    string    `json:"currency"`
	Expires     int64     `json:"exp"`
	IssuedAt    int64     `json:"iat"`
	Issuer      string    `json:"iss"`
	IssuedAtX   int64     `json:"issuedAt"`
	ID          string    `json:"jti"`
	Method      string    `json:"method"`
	NotBefore   int64     `json:"nbf"`
	Network     string    `json:"network"`
	Payer       string    `json:"payer"`
	Reference   string    `json:"reference"`
	ResourceURL string    `json:"resourceUrl"`
	Scale       *int      `json:"scale"`
	Scope       wireScope `json:"scope"`
	Subject     string    `json:"sub"`
	Use         wireUse   `json:"use"`
	Version     int       `json:"version"`
}

type wireScope struct {
	Digest string `json:"digest,omitempty"`
	Method string `json:"method"`
	Route  string `json:"route"`
	Target string `json:"target"`
}

type wireUse struct {
	Kind  UseKind `json:"kind"`
	N     int     `json:"n,omitempty"`
	Until int64   `json:"until,omitempty"`
}

func (c Claims) encode() ([]byte, error) {
	iat, scale := c.IssuedAt.Unix(), c.Amount.Scale()
	p := payload{
		Amount: strconv.FormatInt(c.Amount.Units(), 10), Currency: c.Amount.Currency(), Scale: &scale,
		Issuer: c.Issuer, Audience: c.Audience, Subject: c.PaymentID, ID: c.ID,
		IssuedAt: iat, IssuedAtX: iat, NotBefore: iat, Expires: c.Expires.Unix(),
		Scope:  c.Scope.wire(),
		Method: c.Method, Reference: c.Reference, Network: c.Network, Payer: c.Payer, ResourceURL: c.ResourceURL,
		Use: wireUse{Kind: c.Use.Kind, N: c.Use.N}, Version: Version,
	}
	if !c.Use.Until.IsZero() {
		p.Use.Until = c.Use.Until.Unix()
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // "&" in a target would take six bytes
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func (s Scope) wire() wireScope {
	return wireScope{Digest: s.Digest, Method: s.Method, Route: s.Route, Target: s.Target}
}

// decode reads a payload whose signature holds. Members it does not know are
// ignored, as RFC 7519 section 4 asks; repeated ones, wrong types, fractions and
// times out of range are [ErrMalformed].
func decode(data []byte) (Claims, error) {
	if err := checkJSON(data); err != nil {
		return Claims{}, err
	}
	var p payload
	if err := json.Unmarshal(data, &p); err != nil {
		return Claims{}, fmt.Errorf("claims: %w", ErrMalformed) // the cause would quote the receipt
	}
	if p.Version != Version || p.Scale == nil || p.IssuedAtX != p.IssuedAt || p.NotBefore != p.IssuedAt {
		return Claims{}, fmt.Errorf("version, scale, issuedAt or nbf: %w", ErrMalformed)
	}
	for _, at := range [...]int64{p.IssuedAt, p.Expires} {
		if at <= 0 || at > maxUnix {
			return Claims{}, fmt.Errorf("time out of range: %w", ErrMalformed)
		}
	}
	if p.Use.Until < 0 || p.Use.Until > maxUnix {
		return Claims{}, fmt.Errorf("time out of range: %w", ErrMalformed)
	}
	units, err := strconv.ParseInt(p.Amount, 10, 64)
	if err != nil || strconv.FormatInt(units, 10) != p.Amount {
		return Claims{}, fmt.Errorf("amount: %w", ErrMalformed)
	}
	amount, err := money.New(units, p.Currency, *p.Scale)
	if err != nil || amount.Currency() != p.Currency {
		return Claims{}, fmt.Errorf("currency or scale: %w", ErrMalformed)
	}
	c := Claims{
		Issuer: p.Issuer, Audience: p.Audience, PaymentID: p.Subject, ID: p.ID,
		IssuedAt: unix(p.IssuedAt), Expires: unix(p.Expires),
		Scope:  Scope{Digest: p.Scope.Digest, Method: p.Scope.Method, Route: p.Scope.Route, Target: p.Scope.Target},
		Amount: amount, Method: p.Method, Reference: p.Reference,
		Network: p.Network, Payer: p.Payer, ResourceURL: p.ResourceURL,
		Use: Use{Kind: p.Use.Kind, N: p.Use.N},
	}
	if p.Use.Until != 0 {
		c.Use.Until = unix(p.Use.Until)
	}
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}

// maxUnix is the last second of the year 9999.
const maxUnix = 253402300799

func unix(s int64) time.Time { return time.Unix(s, 0).UTC() }

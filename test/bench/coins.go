package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"paywall/x402"
	"paywall/x402/evm"
)

const (
	network = "eip155:84532"
	payee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

// facilitate answers as a facilitator does when all is well, at once and without a
// look at signatures: what is measured are the server's own checks.
func (b *behind) facilitate(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = []string{"application/json"}
	if r.URL.Path == "/supported" {
		_, _ = io.WriteString(w, `{"kinds":[{"x402Version":2,"scheme":"exact","network":"`+network+`"}],"extensions":[],"signers":{}}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	payer, ok := payerOf(body)
	switch {
	case err != nil || !ok:
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Path == "/verify":
		b.verified.Add(1)
		_, _ = io.WriteString(w, `{"isValid":true,"payer":"`+payer+`"}`)
	case r.URL.Path == "/settle":
		_, _ = fmt.Fprintf(w, `{"success":true,"payer":%q,"network":%q,"transaction":"0x%064x"}`, payer, network, b.settled.Add(1))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// payerOf finds the payer in a request without reading all of it, so that this side
// costs little.
func payerOf(body []byte) (string, bool) {
	_, rest, ok := bytes.Cut(body, []byte(`"from":"`))
	const length = len(payee)
	if !ok || len(rest) < length {
		return "", false
	}
	return string(rest[:length]), true
}

// A purse signs authorizations, each with a nonce of its own.
type purse struct {
	key    evm.Key
	claims evm.Address // whom the authorizations are of
	domain evm.Domain
	nonce  evm.Hash
	count  uint64
}

// newPurse is a payer; a forger's signs in the name of somebody else.
func newPurse(forger bool) (*purse, error) {
	asset, ok := evm.FindAsset(network, "USDC")
	if !ok {
		return nil, fmt.Errorf("USDC is not known on %s", network)
	}
	p := &purse{}
	var err error
	if p.domain, err = asset.Domain(); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	if p.key, err = evm.NewKey(rand.Reader); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	p.claims = p.key.Address()
	if forger {
		p.claims[0] ^= 0xff
	}
	if _, err := rand.Read(p.nonce[:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return p, nil
}

// pay answers the only offer of a challenge and returns the value of PAYMENT-SIGNATURE.
func (p *purse) pay(asked x402.PaymentRequired) (string, error) {
	if len(asked.Accepts) != 1 {
		return "", fmt.Errorf("%d offers, want one", len(asked.Accepts))
	}
	offer := asked.Accepts[0]
	to, err := evm.ParseAddress(offer.PayTo)
	if err != nil {
		return "", err //nolint:wrapcheck // it says what is wrong
	}
	value, ok := new(big.Int).SetString(offer.Amount, 10)
	if !ok {
		return "", fmt.Errorf("amount %q", offer.Amount)
	}
	p.count++
	binary.BigEndian.PutUint64(p.nonce[24:], p.count)
	before := time.Now().Unix() + offer.MaxTimeoutSeconds
	a := evm.Authorization{
		From: p.claims, To: to, Value: value, ValidAfter: new(big.Int), ValidBefore: big.NewInt(before), Nonce: p.nonce,
	}
	payload, err := json.Marshal(map[string]any{
		"signature": p.key.Sign(a.Digest(p.domain)).String(),
		"authorization": map[string]string{
			"from": a.From.Checksum(), "to": offer.PayTo, "value": offer.Amount,
			"validAfter": "0", "validBefore": strconv.FormatInt(before, 10), "nonce": a.Nonce.String(),
		},
	})
	if err != nil {
		return "", fmt.Errorf("write the payment: %w", err)
	}
	return x402.Encode(x402.PaymentPayload{Version: x402.V2, Resource: &asked.Resource, Accepted: offer, Payload: payload}) //nolint:wrapcheck // it says what is wrong
}

// stock is n requests, each with a payment of its own.
func (p *purse) stock(addr, method, authority string, n int) ([][]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	status, head, err := c.do(request(method, coins, authority))
	if err != nil {
		return nil, err
	}
	if status != http.StatusPaymentRequired {
		return nil, fmt.Errorf("unpaid: %d, want 402", status)
	}
	var asked x402.PaymentRequired
	if err := x402.Decode(fields(head).Get(x402.HeaderRequired), &asked); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	requests := make([][]byte, n)
	for i := range requests {
		field, err := p.pay(asked)
		if err != nil {
			return nil, err
		}
		requests[i] = request(method, coins, authority, x402.HeaderSignature+": "+field)
	}
	return requests, nil
}

package x402

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"paywall/payment"
)

// offerReceipt is the extension offer-receipt: settlements carry signed receipts, and
// challenges, if they are signed here, the seller's word for each way to pay.
type offerReceipt struct {
	sign func(payload []byte) (string, error)
}

func (offerReceipt) ID() string { return ExtensionReceipt }

// Schemas say as little as there must be: they travel with every challenge.
const (
	offersSchema  = `{"type":"object","required":["offers"]}`
	receiptSchema = `{"type":"object","properties":{"receipt":{"type":"object"}}}`
)

// signedRoom is what a signed offer takes beyond the values in it: the header
// of a JWS with a did:web of a usual name, the names of claims, and the signature.
const signedRoom = 560

// Declare implements [Extension]. An echo need not bring offers back: they are the
// payer's to keep.
func (x offerReceipt) Declare(_ []payment.Offer, entries []PaymentRequirements) (Declaration, error) {
	if x.sign == nil {
		return Declaration{Object: json.RawMessage(`{"info":{},"schema":` + receiptSchema + `}`), Spare: true}, nil
	}
	d := Declaration{
		Object: json.RawMessage(`{"info":{"offers":[]},"schema":` + offersSchema + `}`), Dynamic: []string{"offers"}, Spare: true,
	}
	for _, e := range entries {
		d.Room += signedRoom + (len(e.Scheme)+len(e.Network)+len(e.Asset)+len(e.PayTo)+len(e.Amount))*4/3
	}
	d.Fresh = func(b []byte, _ payment.Scope, resource string, now time.Time) ([]byte, error) {
		b = append(b, `{"info":{"offers":[`...)
		for i := range entries {
			one, err := x.signed(&entries[i], i, resource, now)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, one...)
		}
		return append(b, `]},"schema":`+offersSchema+`}`...), nil
	}
	return d, nil
}

// OfferClaims is what a signed offer states.
type OfferClaims struct {
	Version     int    `json:"version"`
	ResourceURL string `json:"resourceUrl"`
	Scheme      string `json:"scheme"`
	Network     string `json:"network"`
	Asset       string `json:"asset"`
	PayTo       string `json:"payTo"`
	Amount      string `json:"amount"`
	// ValidUntil is in Unix seconds.
	ValidUntil int64 `json:"validUntil"`
}

var errUnsigned = errors.New("offer was not signed")

func (x offerReceipt) signed(e *PaymentRequirements, index int, resource string, now time.Time) ([]byte, error) {
	payload, err := marshal(OfferClaims{
		Version: 1, ResourceURL: resource, Scheme: e.Scheme, Network: e.Network, Asset: e.Asset, PayTo: e.PayTo, Amount: e.Amount,
		ValidUntil: now.Add(time.Duration(e.MaxTimeoutSeconds) * time.Second).Unix(),
	})
	if err != nil {
		return nil, err
	}
	jws, err := x.sign(payload)
	if err == nil && jws == "" {
		err = errUnsigned
	}
	if err != nil {
		return nil, fmt.Errorf("x402: %w: %w", errUnsigned, err)
	}
	return marshal(struct {
		Format      string `json:"format"`
		AcceptIndex int    `json:"acceptIndex"`
		Signature   string `json:"signature"`
	}{"jws", index, jws})
}

package wallet

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
)

// receiptField is where this product's own signed receipt travels.
const receiptField = "Paywall-Receipt"

// creditField says what a request took from prepaid credit, and what is left.
const creditField = "Paywall-Credit"

const maxReceiptToken = 8 << 10

// Result says what a response cost.
type Result struct {
	// Offers is what the seller asked for, if it asked.
	Offers []Offer
	// Presented is set when the response answers a credential. An answer other
	// than a success is the seller's last word and may have cost money too.
	Presented bool
	// Resumed is set when the credential was one kept from an earlier call.
	Resumed bool
	// Amount is what the credential was for; invalid when none was presented.
	Amount money.Amount
	// Receipt is the seller's statement, nil when it made none that can be read.
	Receipt *mpp.Receipt
	// Settlement is what the seller says of a payment over x402, nil when it says nothing.
	Settlement *x402.SettleResponse
	// ReceiptToken is the signed receipt, unverified, which may itself open doors.
	ReceiptToken Secret
	// Credit is what the seller says of the credit that the request was drawn from, in
	// its own words, or empty.
	Credit string
}

// Reference is the payment's name at the payment network, as the seller states it.
func (r *Result) Reference() string {
	switch {
	case r.Receipt != nil:
		return Clean(r.Receipt.Reference, 200)
	case r.Settlement != nil:
		return Clean(r.Settlement.Transaction, 200)
	}
	return ""
}

// LogValue leaves the receipts out.
func (r Result) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("offers", len(r.Offers)), slog.Bool("presented", r.Presented), slog.Bool("resumed", r.Resumed),
		slog.String("amount", r.Amount.String()), slog.String("reference", r.Reference()),
	)
}

type resultKey struct{}

// ResultOf returns what [Transport] has to say about a response of its own.
func ResultOf(resp *http.Response) (Result, bool) {
	if resp == nil || resp.Request == nil {
		return Result{}, false
	}
	r, ok := resp.Request.Context().Value(resultKey{}).(Result)
	return r, ok
}

// attach makes resp answer the request as the caller made it, without the
// credential, and carry r.
func attach(resp *http.Response, req *http.Request, r Result) *http.Response {
	resp.Request = req.WithContext(context.WithValue(req.Context(), resultKey{}, r))
	return resp
}

// readReceipts takes the receipts of a success. What cannot be read is left
// out: the goods are there, and the journal must not keep what was answered.
func (r *Result) readReceipts(h http.Header) {
	if field := h.Get(mpp.PaymentReceipt); field != "" {
		if got, err := mpp.ParseReceipt(field); err == nil {
			r.Receipt = &got
		}
	}
	r.Settlement, r.Credit = settlement(h), h.Get(creditField)
	if token := h.Get(receiptField); isToken(token) {
		r.ReceiptToken = Secret(token)
		return
	}
	if r.Receipt == nil {
		return
	}
	var token string
	if json.Unmarshal(r.Receipt.Extra["jwt"], &token) == nil && isToken(token) {
		r.ReceiptToken = Secret(token)
	}
}

// isToken reports whether s has the shape of a JWS in compact form.
func isToken(s string) bool {
	if len(s) > maxReceiptToken || strings.Count(s, ".") != 2 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strings.IndexFunc(part, func(r rune) bool {
			return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) >= 0 {
			return false
		}
	}
	return true
}

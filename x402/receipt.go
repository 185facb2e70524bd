package x402

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"paywall/payment"
)

type wireReceipt struct {
	Info struct {
		Receipt struct {
			Format    string `json:"format"`
			Signature string `json:"signature"`
		} `json:"receipt"`
	} `json:"info"`
}

// NewSettlement is the answer for a settled payment. receipt is a signed JWT that
// carries the claims of the extension offer-receipt, or empty.
func NewSettlement(p payment.Payment, network, receipt string) (SettleResponse, error) {
	out := SettleResponse{Success: true, Transaction: p.Reference, Network: network, Payer: p.Payer}
	if p.Amount.Valid() {
		out.Amount = strconv.FormatInt(p.Amount.Units(), 10)
	}
	if receipt == "" {
		return out, nil
	}
	var w wireReceipt
	w.Info.Receipt.Format, w.Info.Receipt.Signature = "jws", receipt
	raw, err := marshal(w)
	if err != nil {
		return out, err
	}
	out.Extensions = map[string]json.RawMessage{ExtensionReceipt: raw}
	return out, nil
}

// ReceiptToken is the signed JWT in a settlement, or empty.
func (r SettleResponse) ReceiptToken() string {
	var w wireReceipt
	if json.Unmarshal(r.Extensions[ExtensionReceipt], &w) != nil || w.Info.Receipt.Format != "jws" {
		return ""
	}
	return w.Info.Receipt.Signature
}

// Receipt sets PAYMENT-RESPONSE, or X-PAYMENT-RESPONSE with the network's name of
// version 1: whichever the payment came in.
func (d *dialect) Receipt(h http.Header, p payment.Payment, token string) error {
	network := p.Network
	for i := range d.entries {
		if network == "" && d.entries[i].offer.Method == p.Method {
			network = d.entries[i].need.Network
		}
	}
	field := fieldResponse
	if strings.HasPrefix(p.ChallengeID, idPrefixV1) {
		field = fieldResponseV1
		if name, ok := NetworkV1(network); ok {
			network = name
		}
	}
	s, err := NewSettlement(p, network, token)
	if err != nil {
		return err
	}
	v, err := Encode(s)
	if err != nil {
		return err
	}
	h[field] = []string{v}
	return nil
}

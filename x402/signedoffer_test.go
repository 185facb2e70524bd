package x402_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"paywall/payment"
	"paywall/receipts"
	"paywall/x402"
)

// signer is an issuer of receipts that signs offers, too.
func signer(t testing.TB) *receipts.Issuer {
	t.Helper()
	ring := must(receipts.NewKeyRing(must(receipts.GenerateKey(receipts.ES256, began))))
	return must(receipts.New(receipts.Config{Keys: ring, Issuer: origin, Audience: "api.example.com"}))
}

type signedOffers struct {
	Info struct {
		Offers []struct {
			Format      string
			AcceptIndex int
			Signature   string
		}
	}
	Schema map[string]any
}

func offersOf(t testing.TB, p x402.PaymentRequired) signedOffers {
	t.Helper()
	var s signedOffers
	if err := json.Unmarshal(p.Extensions[x402.ExtensionReceipt], &s); err != nil {
		t.Fatalf("%v: %s", err, p.Extensions)
	}
	return s
}

func TestSignedOffers(t *testing.T) {
	p := protocol(t, func(c *x402.Config) { c.SignOffer = signer(t).SignOffer })
	d := compile(t, p, link(100), stable(10000))
	asked := challenge(t, d)
	s := offersOf(t, asked)
	if len(s.Info.Offers) != 2 || s.Schema == nil {
		t.Fatalf("%+v", s)
	}
	for i, o := range s.Info.Offers {
		part := strings.Split(o.Signature, ".")
		var c x402.OfferClaims
		if err := json.Unmarshal(unb64(t, part[1]), &c); err != nil {
			t.Fatal(err)
		}
		e := asked.Accepts[i]
		want := x402.OfferClaims{
			Version: 1, ResourceURL: asked.Resource.URL, Scheme: e.Scheme, Network: e.Network, Asset: e.Asset, PayTo: e.PayTo,
			Amount: e.Amount, ValidUntil: began.Unix() + e.MaxTimeoutSeconds,
		}
		if c != want || o.Format != "jws" || o.AcceptIndex != i {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
	// An echo may bring the offers of an earlier challenge, or none.
	for _, echo := range []string{`{"info":{"offers":[]}}`, `{"info":{}}`, string(asked.Extensions[x402.ExtensionReceipt])} {
		a := answer(asked, 1, authorization(10000, nil))
		a["extensions"] = json.RawMessage(`{"offer-receipt":` + echo + `}`)
		if _, err := d.Credential(signed(a), scope(), began); err != nil {
			t.Errorf("%s: %v", echo, err)
		}
	}
}

func TestSignedOffers_Fail(t *testing.T) {
	broken := errors.New("no key")
	for name, sign := range map[string]func([]byte) (string, error){
		"an error":     func([]byte) (string, error) { return "", broken },
		"no signature": func([]byte) (string, error) { return "", nil },
	} {
		d := compile(t, protocol(t, func(c *x402.Config) { c.SignOffer = sign }), stable(10000))
		h := http.Header{}
		if err := d.Challenge(h, &http.Request{}, scope(), began); err == nil || len(h) > 0 {
			t.Errorf("%s: %v, %v", name, err, h)
		}
	}
}

func TestReceiptsDeclared(t *testing.T) {
	d := compile(t, protocol(t, func(c *x402.Config) { c.Receipts = true }), stable(10000))
	if s := offersOf(t, challenge(t, d)); s.Schema == nil || s.Info.Offers != nil {
		t.Errorf("%+v", s)
	}
}

// Whatever is switched on, a challenge passes where fields above 4 KiB do not; what it
// can do without goes, the last first.
func TestChallenge_SizeWithAllExtensions(t *testing.T) {
	all := func(c *x402.Config) {
		c.Identifier, c.Describe, c.SignOffer, c.Receipts = x402.IdentifierOptional, describe, signer(t).SignOffer, true
		c.ServiceName, c.Tags = "Reports", []string{"reports"}
		signIns(c)
	}
	for _, tt := range []struct {
		name   string
		offers []payment.Offer
		want   []string
	}{
		{"one way", []payment.Offer{stable(10000)}, []string{x402.ExtensionIdentifier, x402.ExtensionSignIn, x402.ExtensionReceipt, x402.ExtensionBazaar}},
		{"two ways", []payment.Offer{link(100), stable(10000)}, []string{x402.ExtensionIdentifier, x402.ExtensionSignIn, x402.ExtensionReceipt}},
		{"five ways", []payment.Offer{link(100), stable(10000), stable(10001), upto(1), upto(2)}, []string{x402.ExtensionIdentifier, x402.ExtensionSignIn}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := compile(t, protocol(t, all), tt.offers...)
			h := http.Header{}
			if err := d.Challenge(h, &http.Request{}, scope(), began); err != nil {
				t.Fatal(err)
			}
			field := h.Get(x402.HeaderRequired)
			p := required(t, h)
			t.Logf("%d bytes with %d extensions", len(field), len(p.Extensions))
			if len(field) > 4096 || len(p.Extensions) != len(tt.want) || len(p.Accepts) != len(tt.offers) {
				t.Errorf("%d bytes, %d extensions, %d offers", len(field), len(p.Extensions), len(p.Accepts))
			}
			for _, id := range tt.want {
				if p.Extensions[id] == nil {
					t.Errorf("no %s", id)
				}
			}
		})
	}
}

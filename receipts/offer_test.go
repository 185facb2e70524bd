package receipts_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"paywall/payment"
	"paywall/receipts"
	"paywall/receipts/receiptstest"
)

const offerPayload = `{"version":1,"resourceUrl":"https://api.example.com/v1?a=1&b=<2>","scheme":"exact","network":"eip155:84532",` +
	`"asset":"0x036c","payTo":"0x2096","amount":"10000","validUntil":1795608000}`

func TestSignOffer(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seed := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for alg, signer := range map[receipts.Algorithm]crypto.Signer{receipts.ES256: private, receipts.EdDSA: seed} {
		key, err := receipts.NewKey(signer, "k1", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := newIssuer(t, newRing(t, key), newClock()).SignOffer([]byte(offerPayload))
		if err != nil {
			t.Fatal(err)
		}
		part := strings.Split(token, ".")
		want := `{"amount":"10000","asset":"0x036c","aud":"x402:payer","exp":1795608000,"iss":"https://api.example.com","network":"eip155:84532","payTo":"0x2096",` +
			`"resourceUrl":"https://api.example.com/v1?a=1&b=<2>","scheme":"exact","validUntil":1795608000,"version":1}`
		if got := string(unb64(t, part[1])); got != want {
			t.Errorf("payload\n got %s\nwant %s", got, want)
		}
		if got, want := string(unb64(t, part[0])), `{"alg":"`+string(alg)+`","kid":"did:web:api.example.com#k1","typ":"offer+jwt"}`; got != want {
			t.Errorf("header %s, want %s", got, want)
		}
		// A library that knows nothing of either accepts it.
		parser := jwt.NewParser(jwt.WithTimeFunc(newClock().now), jwt.WithAudience(receipts.OfferAudience))
		if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return signer.Public(), nil }); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// An offer is signed by the key that signs receipts, and opens nothing: the verifier
// goes by the type before it looks at anything else. One that goes by the signature
// alone takes either for the other, as the stock verifier of x402 does; what it can
// look at is the audience.
func TestE104_AnOfferIsNoReceipt(t *testing.T) {
	ring := newRing(t, newKey(t, receipts.ES256))
	issuer := newIssuer(t, ring, newClock())
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: newClock().now, Uses: &receiptstest.Uses{}})
	offer, err := issuer.SignOffer([]byte(offerPayload))
	if err != nil {
		t.Fatal(err)
	}
	receipt := issue(t, issuer, claims(t))
	if _, err := v.Verify(receipt); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(offer); !errors.Is(err, receipts.ErrUnknownKey) {
		t.Errorf("an offer is taken for a receipt: %v", err)
	}
	if _, ok := v.Bearer(http.Header{"Authorization": {"Bearer " + offer}}); ok {
		t.Error("an offer is taken for a bearer token of ours")
	}
	// The parts of one do not go with those of the other.
	o, r := strings.Split(offer, "."), strings.Split(receipt, ".")
	for _, mixed := range []string{r[0] + "." + o[1] + "." + o[2], o[0] + "." + r[1] + "." + r[2], r[0] + "." + r[1] + "." + o[2]} {
		if _, err := v.Verify(mixed); err == nil {
			t.Error("a mixture is taken for a receipt")
		}
	}
	var aud struct{ Aud string }
	if err := json.Unmarshal(unb64(t, o[1]), &aud); err != nil || aud.Aud != receipts.OfferAudience || aud.Aud == realm {
		t.Errorf("audience %q, %v", aud.Aud, err)
	}
}

func TestSignOffer_Refuses(t *testing.T) {
	issuer := newIssuer(t, newRing(t, newKey(t, receipts.ES256)), newClock())
	for name, payload := range map[string]string{
		"nothing":          "",
		"no object":        `[]`,
		"a member missing": strings.Replace(offerPayload, `"scheme":"exact",`, "", 1),
		"a member more":    strings.Replace(offerPayload, `{`, `{"sub":"pay_1",`, 1),
		"one in its place": strings.Replace(offerPayload, `"scheme":"exact",`, `"use":{"kind":"once"},`, 1),
		"a member twice":   strings.Replace(offerPayload, `{`, `{"amount":"1",`, 1),
		"no time":          strings.Replace(offerPayload, `1795608000`, `0`, 1),
		"a fraction":       strings.Replace(offerPayload, `1795608000`, `1.5`, 1),
		"text for a time":  strings.Replace(offerPayload, `1795608000`, `"1"`, 1),
		"more behind":      offerPayload + "{}",
	} {
		if token, err := issuer.SignOffer([]byte(payload)); !errors.Is(err, receipts.ErrOffer) || token != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A desk that issues again for a delivered payment makes nothing longer.
func TestDesk_IssuingAgainProlongsNothing(t *testing.T) {
	c := newClock()
	ring := newRing(t, newKey(t, receipts.ES256))
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now, Uses: &receiptstest.Uses{}})
	desk := receipts.Desk{Issuer: newIssuer(t, ring, c), Verifier: v}
	p := payment.Payment{
		ID: "pay_1", State: payment.StateSettled, Method: "stripe", Reference: "pi_1", Scope: live(), Amount: claims(t).Amount, SettledAt: c.now(),
	}
	twice := payment.Pass{Uses: 2}
	first, id, err := desk.Issue(p, twice)
	if err != nil {
		t.Fatal(err)
	}
	p.DeliveredAt = c.now()
	c.advance(5 * time.Minute)
	again, sameID, err := desk.Issue(p, twice)
	if err != nil || id != sameID {
		t.Fatalf("%q and %q, %v", id, sameID, err)
	}
	one, err := v.Verify(first)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := v.Verify(again); err != nil || two.Expires.After(one.Expires) {
		t.Errorf("%s is after %s, %v", two.Expires, one.Expires, err)
	}
	c.advance(5 * time.Minute)
	if _, _, err := desk.Issue(p, twice); !errors.Is(err, receipts.ErrClaims) {
		t.Errorf("issued after the end of the first: %v", err)
	}
}

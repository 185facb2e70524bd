package x402_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paywall/x402"
)

// recorded is a field as @x402/extensions 2.27.0 made it with [payerKey] for a
// challenge of [began] with all extensions.
func recorded(t *testing.T, name string) string {
	t.Helper()
	b := must(os.ReadFile(filepath.Join("testdata", name)))
	return strings.TrimSpace(string(b))
}

// The stock client's answers are read: it echoes every extension whole, adds its name
// of the payment, and signs the text of the challenge.
func TestStockExtensions(t *testing.T) {
	d := door(t, protocol(t, func(c *x402.Config) {
		c.Identifier, c.Describe, c.SignOffer = x402.IdentifierOptional, describe, signer(t).SignOffer
		signIns(c)
	}), stable(10000))
	c, err := d.Credential(request(x402.HeaderSignature, recorded(t, "stock_identifier.b64")), scope(), began)
	if err != nil || c.Key != "pay_7d5d747be160e280504c099d984bcfe0" {
		t.Errorf("key %q, %v", c.Key, err)
	}
	proof := request(x402.HeaderSignIn, recorded(t, "stock_signin.b64"))
	v, err := d.SignedIn(proof, scope(), began.Add(time.Minute))
	if err != nil || v.Payer != payerKey().Address().String() {
		t.Errorf("%+v, %v", v, err)
	}
	other := scope()
	other.Target = "/v1/other"
	if _, err := d.SignedIn(proof, other, began.Add(time.Minute)); err == nil {
		t.Error("the proof opens another resource")
	}
}

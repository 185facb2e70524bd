package receipts_test

import (
	"fmt"
	"os"
	"time"

	"paywall/receipts"
)

// Anyone can check a receipt with the key set of its issuer, taken once from
// https://<issuer>/.well-known/jwks.json, and without asking the issuer again.
func Example_verifyOffline() {
	jwks, err := os.ReadFile("testdata/jwks.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := os.ReadFile("testdata/receipt.jwt")
	if err != nil {
		fmt.Println(err)
		return
	}
	published, err := receipts.ParsePublished(jwks)
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := receipts.NewVerifier(receipts.VerifierConfig{
		Keys:     published.Keys,
		Issuer:   "https://" + published.Host,
		Audience: "api.example.com",
		Now:      func() time.Time { return time.Date(2026, 11, 24, 12, 5, 0, 0, time.UTC) }, // when the sample was fresh
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(string(token))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Amount, "for", claims.ResourceURL)
	fmt.Println("charged through", claims.Method, "as", claims.Reference)
	// Output:
	// 1.00 USD for https://api.example.com/v1/reports/7?lang=en&full=1
	// charged through stripe as pi_3RtAbCdEfGhIjKlM0nOpQrSt
}

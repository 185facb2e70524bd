package wallet

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// receiptFor is a receipt as sellers make them, with a signature of nobody.
func receiptFor(claims string) string {
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return enc(`{"alg":"ES256"}`) + "." + enc(claims) + "." + enc("signature")
}

func TestCreditOf(t *testing.T) {
	good := receiptFor(`{"use":{"kind":"credit"},"scope":{"route":"quotes"}}`)
	for name, tt := range map[string]struct {
		field string
		route string
	}{
		"credit":      {good, "quotes"},
		"a pass":      {receiptFor(`{"use":{"kind":"until"},"scope":{"route":"quotes"}}`), ""},
		"no route":    {receiptFor(`{"use":{"kind":"credit"},"scope":{}}`), ""},
		"a long one":  {receiptFor(`{"use":{"kind":"credit"},"scope":{"route":"` + strings.Repeat("x", 65) + `"}}`), ""},
		"no JSON":     {receiptFor(`x`), ""},
		"no receipt":  {"a.b", ""},
		"nothing":     {"", ""},
		"with spaces": {good + " ", ""},
	} {
		receipt, route, ok := creditOf(http.Header{"Paywall-Receipt": {tt.field}})
		if route != tt.route || ok != (tt.route != "") || ok && receipt.Reveal() != tt.field {
			t.Errorf("%s: %q %v", name, route, ok)
		}
	}
}

// TestCreditKept holds both stores to the same.
func TestCreditKept(t *testing.T) {
	dir, err := OpenCredit(filepath.Join(t.TempDir(), "credit"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := Secret(receiptFor("1")), Secret(receiptFor("2"))
	for name, c := range map[string]Credit{"memory": &MemoryCredit{}, "folder": dir} {
		ctx := t.Context()
		for _, err := range []error{
			c.Keep(ctx, "shop.example", "a", one), c.Keep(ctx, "shop.example", "a", one), c.Keep(ctx, "shop.example", "a", two),
			c.Keep(ctx, "shop.example:8443", "a", one), c.Keep(ctx, "shop.example", "b", one), c.Drop(ctx, "shop.example", "a", one), c.Drop(ctx, "none", "a", one),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := c.Receipts(ctx, "shop.example", "a"); err != nil || len(got) != 1 || got[0] != two {
			t.Errorf("%s: %d receipts, %v", name, len(got), err)
		}
		if got, err := c.Receipts(ctx, "shop.example:8443", "a"); err != nil || len(got) != 1 {
			t.Errorf("%s: another port: %d, %v", name, len(got), err)
		}
	}
	path := dir.path("shop.example", "a", two)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Receipts(t.Context(), "shop.example", "a"); !errors.Is(err, ErrFile) {
		t.Errorf("a receipt that others can read: %v", err)
	}
}

// counter answers by what is presented.
type counter struct {
	calls []string
	// left is what the receipt has, in requests.
	left    int
	balance string
}

func (s *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	s.calls = append(s.calls, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	status, body, h := http.StatusPaymentRequired, `{"credit":{"route":"quotes","pack":"5.00 USD"}}`, http.Header{}
	switch {
	case r.URL.Path == "/payments/credit":
		status, body = http.StatusOK, `{"left":{"value":"`+s.balance+`","currency":"USD"}}`
	case r.Header.Get("Authorization") != "" && s.left > 0:
		if r.Header.Get("Idempotency-Key") == "" {
			return nil, errors.New("a draw without a key")
		}
		s.left--
		status, body = http.StatusOK, "quote"
		h.Set("Paywall-Credit", "left=1")
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestCreditSpent spends what is kept before anything is paid.
func TestCreditSpent(t *testing.T) {
	receipt := Secret(receiptFor(`{"use":{"kind":"credit"},"scope":{"route":"quotes"}}`))
	for name, tt := range map[string]struct {
		url     string
		host    string
		left    int
		balance string
		header  string
		served  bool
		kept    int
	}{
		"kept for it":               {url: "https://shop.example/q", host: "shop.example", left: 1, served: true, kept: 1},
		"kept for another host":     {url: "https://shop.example/q", host: "other.example", left: 1},
		"over plain HTTP":           {url: "http://shop.example/q", host: "shop.example", left: 1, kept: 1},
		"the field is taken":        {url: "https://shop.example/q", host: "shop.example", left: 1, header: "Basic eDp5", kept: 1},
		"spent":                     {url: "https://shop.example/q", host: "shop.example", balance: "0.00000"},
		"not enough, and some left": {url: "https://shop.example/q", host: "shop.example", balance: "0.00500", kept: 1},
		"the balance is nonsense":   {url: "https://shop.example/q", host: "shop.example", balance: "", kept: 1},
	} {
		s, kept := &counter{left: tt.left, balance: tt.balance}, &MemoryCredit{}
		if err := kept.Keep(t.Context(), tt.host, "quotes", receipt); err != nil {
			t.Fatal(err)
		}
		tr, err := NewTransport(Config{Base: s, Wallet: &purse{}, Credit: kept, Policy: Policy{PerPayment: Limits{usd(500)}, PerDay: Limits{usd(500)}}})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			req.Header.Set("Authorization", tt.header)
		}
		resp, err := tr.RoundTrip(req)
		if served := err == nil && resp.StatusCode == http.StatusOK; served != tt.served {
			t.Errorf("%s: %v, %v", name, resp, err)
		} else if served {
			if r, _ := ResultOf(resp); r.Credit != "left=1" || r.Presented {
				t.Errorf("%s: %+v", name, r)
			}
			_ = resp.Body.Close()
		}
		if got, err := kept.Receipts(t.Context(), "shop.example", "quotes"); err != nil || len(got) != tt.kept {
			t.Errorf("%s: %d receipts are kept, %v", name, len(got), err)
		}
		for _, call := range s.calls {
			if strings.Contains(call, receipt.Reveal()) && (tt.host != "shop.example" || strings.HasPrefix(tt.url, "http:") || tt.header != "") {
				t.Errorf("%s: the receipt was shown: %s", name, call)
			}
		}
	}
}

package wallet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

func TestPaid(t *testing.T) {
	for _, tt := range []struct{ name, method, body string }{
		{"get", http.MethodGet, ""},
		{"post with a digest", http.MethodPost, `{"q":"x"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			resp, body, err := r.send(t, tt.method, shopURL, tt.body)
			if err != nil || body != "the goods" {
				t.Fatalf("got %q, %v", body, err)
			}
			if b, p, c := r.seller.counts(); b != 2 || p != 1 || c != 1 {
				t.Errorf("%d bare, %d paid, %d charges; want a probe, a second probe, one payment", b, p, c)
			}
			for _, got := range r.seller.bodies {
				if got != tt.body {
					t.Errorf("a body was %q, want %q", got, tt.body)
				}
			}
			res, ok := ResultOf(resp)
			if !ok || !res.Presented || res.Resumed || res.Amount != usd(100) || res.Reference() != "pi_1" ||
				res.ReceiptToken.Reveal() != "aaaa.bbbb.cccc" || len(res.Offers) != 1 || res.Offers[0].NetworkID != "profile_shop" {
				t.Errorf("result %+v, %v", res, ok)
			}
			if resp.Request.Header.Get("Authorization") != "" {
				t.Error("the response's request has the credential in it")
			}
			want := Request{Amount: usd(100), NetworkID: "profile_shop", Host: shopHost, Description: "One report"}
			got := r.purse.requests[0]
			if len([]rune(got.Context)) < minContext || strings.Contains(got.Context, "day=1") {
				t.Errorf("context %q: too short, or with the query", got.Context)
			}
			got.Context = ""
			if got != want {
				t.Errorf("wallet was asked %+v, want %+v", got, want)
			}
			if r.kept(t) != 0 || r.spent(t) != 100 {
				t.Errorf("journal keeps %d, ledger %d", r.kept(t), r.spent(t))
			}
		})
	}
}

func TestFreeCostsNothing(t *testing.T) {
	r := newRig(t, func(r *rig, _ *Config) {
		r.seller.bare = func(_ int, w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "free"); return true }
	})
	resp, body, err := r.get(t, shopURL)
	res, ok := ResultOf(resp)
	if err != nil || body != "free" || !ok || res.Presented || res.Amount.Valid() || r.purse.proofs() != 0 {
		t.Errorf("%q, %v, %+v, %d proofs", body, err, res, r.purse.proofs())
	}
}

// hostile402 answers bare requests with challenges made by hand.
func hostile402(header func(n int) []string) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, _ *http.Request) bool {
		for _, v := range header(n) {
			w.Header().Add("WWW-Authenticate", v)
		}
		writeProblem(w, http.StatusPaymentRequired, "payment-required", "Pay.")
		return true
	}
}

func challenge(request, more string) string {
	return fmt.Sprintf(`Payment id="x", realm=%q, method="stripe", intent="charge", request=%q%s`,
		shopHost, mpp.EncodeBase64([]byte(request)), more)
}

func request(amount, currency string) string {
	return `{"amount":` + amount + `,"currency":"` + currency + `","methodDetails":{"networkId":"profile_shop","paymentMethodTypes":["card"]}}`
}

func TestHostile402(t *testing.T) {
	const fine = `{"amount":"100","currency":"usd","methodDetails":{"networkId":"profile_shop"}}`
	for _, tt := range []struct {
		name   string
		header func(n int) []string
		want   error
		limit  Limit
		proofs int
	}{
		{"no challenge", func(int) []string { return nil }, ErrNoOffer, "", 0},
		{"other schemes only", func(int) []string { return []string{`Bearer realm="x"`} }, ErrNoOffer, "", 0},
		{"other methods only", func(int) []string {
			return []string{strings.Replace(challenge(fine, ""), "stripe", "tempo", 1)}
		}, ErrNoOffer, "", 0},
		{"realm of another", func(int) []string { return []string{strings.Replace(challenge(fine, ""), shopHost, "bank.example", 1)} }, ErrNoOffer, "", 0},
		{"realm that begins like the host", func(int) []string {
			return []string{strings.Replace(challenge(fine, ""), shopHost, shopHost+".evil.example", 1)}
		}, ErrNoOffer, "", 0},
		{"amount with a point", func(int) []string { return []string{challenge(request(`"1.00"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"amount with an exponent", func(int) []string { return []string{challenge(request(`"1e2"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"amount that is a number", func(int) []string { return []string{challenge(request(`100`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"amount with a leading zero", func(int) []string { return []string{challenge(request(`"0100"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"negative amount", func(int) []string { return []string{challenge(request(`"-100"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"nothing", func(int) []string { return []string{challenge(request(`"0"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"amount beyond 64 bits", func(int) []string { return []string{challenge(request(`"99999999999999999999"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"digits of another script", func(int) []string { return []string{challenge(request(`"\u0661\u0660\u0660"`, "usd"), "")} }, ErrNoOffer, "", 0},
		{"unknown currency", func(int) []string { return []string{challenge(request(`"100"`, "zzz"), "")} }, ErrNoOffer, "", 0},
		{"a second amount in other case", func(int) []string {
			return []string{challenge(`{"Amount":"1","amount":"100","currency":"usd","methodDetails":{"networkId":"p"}}`, "")}
		}, ErrNoOffer, "", 0},
		{"amount twice", func(int) []string {
			return []string{challenge(`{"amount":"1","amount":"100","currency":"usd","methodDetails":{"networkId":"p"}}`, "")}
		}, ErrNoOffer, "", 0},
		{"no seller", func(int) []string { return []string{challenge(`{"amount":"100","currency":"usd"}`, "")} }, ErrNoOffer, "", 0},
		{"digest of another body", func(int) []string { return []string{challenge(fine, `, digest="`+mpp.Digest([]byte("x"))+`"`)} }, ErrNoOffer, "", 0},
		{"yen taken for cents", func(int) []string { return []string{challenge(request(`"100"`, "jpy"), "")} }, ErrPolicy, LimitCurrency, 0},
		{"above the limit", func(int) []string { return []string{challenge(request(`"1001"`, "usd"), "")} }, ErrPolicy, LimitPayment, 0},
		{"huge header", func(int) []string {
			return []string{challenge(fine, `, opaque="`+strings.Repeat("A", maxChallengeFields)+`"`)}
		}, ErrNoOffer, "", 0},
		{"thousands of unpayable offers", func(int) []string {
			h := make([]string, 2000)
			for i := range h {
				h[i] = `Payment id="x", realm="r", method="tempo", intent="charge", request="e30"`
			}
			return append(h, challenge(fine, ""))
		}, ErrNoOffer, "", 0},
		{"ten offers, price bait", func(n int) []string {
			var h []string
			for i := range 10 {
				h = append(h, challenge(request(fmt.Sprintf(`"%d"`, 100*n+i), "usd"), ""))
			}
			return h
		}, ErrPriceChanged, "", 1},
		{"currency bait", func(n int) []string {
			return []string{challenge(request(`"100"`, []string{"usd", "eur"}[n-1]), "")}
		}, ErrPriceChanged, "", 1},
		{"seller bait", func(n int) []string {
			return []string{strings.Replace(challenge(fine, ""), mpp.EncodeBase64([]byte(fine)),
				mpp.EncodeBase64([]byte(strings.Replace(fine, "profile_shop", fmt.Sprint("profile_", n), 1))), 1)}
		}, ErrPriceChanged, "", 1},
		{"no offer at the second look", func(n int) []string {
			if n == 1 {
				return []string{challenge(fine, "")}
			}
			return nil
		}, ErrNoOffer, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, _ *Config) { r.seller.bare = hostile402(tt.header) })
			_, _, err := r.get(t, shopURL)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if e, ok := errors.AsType[*PolicyError](err); ok != (tt.limit != "") || ok && e.Limit != tt.limit {
				t.Errorf("policy error %v, want limit %q", e, tt.limit)
			}
			if _, paids, _ := r.seller.counts(); paids != 0 || r.purse.proofs() != tt.proofs {
				t.Errorf("%d credentials left, %d proofs; want none and %d", paids, r.purse.proofs(), tt.proofs)
			}
			if len(r.purse.discarded) != tt.proofs {
				t.Errorf("%d proofs discarded, want %d", len(r.purse.discarded), tt.proofs)
			}
			if r.spent(t) != 0 || r.kept(t) != 0 {
				t.Errorf("ledger counts %d, journal keeps %d; nothing was spent", r.spent(t), r.kept(t))
			}
		})
	}
}

func TestSecondOfferIsTakenWhenTheFirstIsForbidden(t *testing.T) {
	r := newRig(t, func(r *rig, _ *Config) {
		r.seller.offer = func(int) []payment.Offer {
			return []payment.Offer{
				{Method: "tempo", Intent: "charge", Amount: usd(1)},
				stripeOffer(usd(5000)),
				stripeOffer(usd(200)), stripeOffer(usd(100)),
			}
		}
	})
	resp, _, err := r.get(t, shopURL)
	if err != nil {
		t.Fatal(err)
	}
	if res, _ := ResultOf(resp); res.Amount != usd(200) || len(res.Offers) != 4 {
		t.Errorf("paid %v of %d offers, want the first that is allowed", res.Amount, len(res.Offers))
	}
}

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		name, url, realm string
		realms           map[string]string
		header           http.Header
		want             error
		limit            Limit
	}{
		{name: "host", url: "https://api.example.com/", realm: "api.example.com"},
		{name: "case and port", url: "https://API.example.com:8443/", realm: "api.example.com:8443"},
		{name: "default port", url: "https://api.example.com/", realm: "api.example.com:443"},
		{name: "origin", url: "https://api.example.com/", realm: "https://api.example.com"},
		{name: "other port", url: "https://api.example.com/", realm: "api.example.com:8443", want: ErrNoOffer},
		{name: "configured realm", url: "https://api.example.com/", realm: "shop", realms: map[string]string{"api.example.com": "shop"}},
		{
			name: "own name where another is configured", url: "https://api.example.com/", realm: "api.example.com",
			realms: map[string]string{"api.example.com": "shop"}, want: ErrNoOffer,
		},
		{name: "plain http", url: "http://api.example.com/", realm: "api.example.com", want: ErrPolicy, limit: LimitPlain},
		{name: "plain http, name like loopback", url: "http://127.0.0.1.example.com/", realm: "127.0.0.1.example.com", want: ErrPolicy, limit: LimitPlain},
		{name: "loopback", url: "http://127.0.0.1:4020/", realm: "127.0.0.1"},
		{name: "loopback v6", url: "http://[::1]:4020/", realm: "::1"},
		{name: "localhost", url: "http://localhost:4020/", realm: "localhost"},
		{
			name: "field in use", url: "https://api.example.com/", realm: "api.example.com",
			header: http.Header{"Authorization": {"Bearer mine"}}, want: ErrNoOffer,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, c *Config) { r.seller.realm, c.Policy.Realms = tt.realm, tt.realms })
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != nil {
				req.Header = tt.header
			}
			resp, err := r.RoundTrip(req)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if resp != nil {
				resp.Body.Close()
			}
			if e, ok := errors.AsType[*PolicyError](err); ok && e.Limit != tt.limit {
				t.Errorf("limit %q, want %q", e.Limit, tt.limit)
			}
			if (r.purse.proofs() == 1) != (tt.want == nil) {
				t.Errorf("%d proofs", r.purse.proofs())
			}
		})
	}
}

func TestSeparateFieldLeavesAuthorizationAlone(t *testing.T) {
	r := newRig(t, func(r *rig, _ *Config) {
		ring, err := mpp.NewKeyRing(mpp.Key{ID: "k", Secret: []byte(strings.Repeat("s", 32))})
		if err != nil {
			t.Fatal(err)
		}
		if r.seller.proto, err = mpp.New(mpp.Config{Keys: ring, SeparateHeader: true}); err != nil {
			t.Fatal(err)
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shopURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer mine")
	resp, err := r.client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	if r.seller.authorization[0] != "Bearer mine" || len(req.Header) != 1 {
		t.Errorf("Authorization was %q; the caller's header is %v", r.seller.authorization[0], req.Header)
	}
}

func TestApproval(t *testing.T) {
	boom := errors.New("no terminal")
	for _, tt := range []struct {
		name     string
		above    Limits
		ask      func(context.Context, Ask) (bool, error)
		asker    bool
		want     error
		approved bool
	}{
		{name: "below needs none", above: Limits{usd(100)}},
		{name: "yes", above: Limits{usd(99)}, ask: func(_ context.Context, a Ask) (bool, error) {
			return a.Amount == usd(100) && a.Host == shopHost && a.NetworkID == "profile_shop" && a.Purpose == "because" && a.Spent == usd(0), nil
		}, approved: true},
		{name: "not listed is asked", ask: func(context.Context, Ask) (bool, error) { return true, nil }, approved: true},
		{name: "no", ask: func(context.Context, Ask) (bool, error) { return false, nil }, want: ErrDenied},
		{name: "cannot ask", ask: func(context.Context, Ask) (bool, error) { return true, boom }, want: boom},
		{name: "nobody to ask", want: ErrPolicy},
		{name: "the wallet asks", asker: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, c *Config) { c.Policy.AskAbove, c.Ask, r.purse.asks = tt.above, tt.ask, tt.asker })
			req, err := http.NewRequestWithContext(WithPurpose(t.Context(), "because\x1b[2J"), http.MethodGet, shopURL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.client.Do(req)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil {
				if r.purse.proofs() != 0 || r.spent(t) != 0 {
					t.Errorf("%d proofs, %d spent", r.purse.proofs(), r.spent(t))
				}
				return
			}
			resp.Body.Close()
			if r.purse.requests[0].Approved != tt.approved {
				t.Errorf("approved %v, want %v", r.purse.requests[0].Approved, tt.approved)
			}
		})
	}
}

func TestWalletRefuses(t *testing.T) {
	r := newRig(t, func(r *rig, _ *Config) { r.purse.pay = func(context.Context, Request) error { return ErrExpired } })
	if _, _, err := r.get(t, shopURL); !errors.Is(err, ErrExpired) {
		t.Fatal(err)
	}
	if bares, paids, _ := r.seller.counts(); bares != 1 || paids != 0 || r.spent(t) != 0 {
		t.Errorf("%d bare, %d paid, %d spent", bares, paids, r.spent(t))
	}
}

// lose drops the first n answers to credentials after the seller has charged.
func lose(n int) func(int, *http.Response) (*http.Response, error) {
	return func(k int, resp *http.Response) (*http.Response, error) {
		if k <= n {
			return nil, io.ErrUnexpectedEOF
		}
		return resp, nil
	}
}

func status(code int, slug, after string, times int) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > times {
			return false
		}
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		writeProblem(w, code, slug, "Wait.\x1b]0;owned\x07")
		return true
	}
}

func TestUnknownOutcomeIsPresentedAgain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		paid  func(int, http.ResponseWriter, *http.Request) bool
		after func(int, *http.Response) (*http.Response, error)
		waits time.Duration
	}{
		{name: "answer lost twice", after: lose(2), waits: 1500 * time.Millisecond},
		{name: "503 pending with a wait", paid: status(503, "payment-pending", "7", 1), waits: 7 * time.Second},
		{name: "409 in progress", paid: status(409, "payment-in-progress", "", 1), waits: 500 * time.Millisecond},
		{name: "500 internal-payment-error", paid: status(500, "internal-payment-error", "", 1), waits: 500 * time.Millisecond},
		{name: "502 of a proxy", paid: status(502, "", "", 3), waits: 3500 * time.Millisecond},
		{name: "429", paid: status(429, "", "2", 1), waits: 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig, _ *Config) { r.seller.paid, r.seller.after = tt.paid, tt.after })
				start := time.Now()
				_, body, err := r.get(t, shopURL)
				if err != nil || body != "the goods" {
					t.Fatalf("%q, %v", body, err)
				}
				if waited := time.Since(start); waited != tt.waits {
					t.Errorf("waited %v, want %v", waited, tt.waits)
				}
				if _, _, charges := r.seller.counts(); charges != 1 || r.purse.proofs() != 1 || r.kept(t) != 0 {
					t.Errorf("%d charges, %d proofs, %d kept; want 1, 1, 0", charges, r.purse.proofs(), r.kept(t))
				}
				for _, a := range r.seller.authorization {
					if a != r.seller.authorization[0] {
						t.Error("another credential was presented")
					}
				}
			})
		})
	}
}

func TestPendingForEver(t *testing.T) {
	for _, tt := range []struct {
		name      string
		after     string
		presented int
		left      time.Duration
	}{
		{"without a wait, bounded by attempts", "", DefaultAttempts, 0},
		{"retry storm has a floor", "0", DefaultAttempts, 0},
		{"a long wait is not sat out", "86400000", 1, maxRetryAfter},
		{"waits are bounded by patience", "50", 3, 50 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig, _ *Config) { r.seller.paid = status(503, "payment-pending", tt.after, 1<<30) })
				start := time.Now()
				_, _, err := r.get(t, shopURL)
				pending, ok := errors.AsType[*PendingError](err)
				if !errors.Is(err, ErrPending) || !ok || pending.Status != 503 || pending.RetryAfter != tt.left || pending.Amount != usd(100) {
					t.Fatalf("error %v (%+v)", err, pending)
				}
				if strings.ContainsAny(err.Error(), "\x1b\x07") || strings.Contains(err.Error(), "owned") {
					t.Errorf("the seller's escape sequence is in %q", err)
				}
				if _, paids, _ := r.seller.counts(); paids != tt.presented || time.Since(start) > DefaultPatience {
					t.Errorf("presented %d times in %v, want %d", paids, time.Since(start), tt.presented)
				}
				if r.kept(t) != 1 || r.spent(t) != 100 {
					t.Errorf("journal keeps %d, ledger %d; want 1, 100", r.kept(t), r.spent(t))
				}

				// The next call for the same request goes on where this one ended.
				r.seller.paid = nil
				resp, body, err := r.get(t, shopURL)
				if err != nil || body != "the goods" {
					t.Fatalf("%q, %v", body, err)
				}
				res, _ := ResultOf(resp)
				bares, _, charges := r.seller.counts()
				if !res.Resumed || r.purse.proofs() != 1 || charges != 1 || bares != 2 || r.kept(t) != 0 || r.spent(t) != 100 {
					t.Errorf("%+v: %d proofs, %d charges, %d bare, %d kept, %d spent", res, r.purse.proofs(), charges, bares, r.kept(t), r.spent(t))
				}
			})
		})
	}
}

func TestPendingOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/journal"
		open := func() Journal {
			j, err := OpenJournal(dir)
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		first := newRig(t, func(r *rig, c *Config) { c.Journal, r.seller.after = open(), lose(1<<30) })
		if _, _, err := first.send(t, http.MethodPost, shopURL, "a"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		second := newRig(t, func(r *rig, c *Config) { c.Journal, c.Base, r.seller = open(), first.seller, first.seller })
		first.seller.after = nil
		if _, _, err := second.send(t, http.MethodPost, shopURL, "another body"); err != nil || second.purse.proofs() != 1 {
			t.Errorf("another body is another purchase: %d proofs, %v", second.purse.proofs(), err)
		}
		_, body, err := second.send(t, http.MethodPost, shopURL, "a")
		if err != nil || body != "the goods" || second.purse.proofs() != 1 || second.kept(t) != 0 {
			t.Errorf("%q, %v, %d proofs, %d kept", body, err, second.purse.proofs(), second.kept(t))
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *Config) { r.seller.paid = status(503, "payment-pending", "60", 1<<30) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, shopURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.RoundTrip(req)
		if !errors.Is(err, ErrPending) || !errors.Is(err, context.DeadlineExceeded) || r.kept(t) != 1 {
			t.Errorf("%v, %d kept", err, r.kept(t))
		}
	})
}

func TestDeclined(t *testing.T) {
	sure := func(Secret) error { return nil }
	for _, tt := range []struct {
		name    string
		paid    func(int, http.ResponseWriter, *http.Request) bool
		after   func(int, *http.Response) (*http.Response, error)
		discard func(Secret) error
		maybe   bool
		kept    int
		spent   int64
	}{
		{name: "at once", paid: status(402, "verification-failed", "", 9), spent: 100},
		{name: "at once, token revoked", paid: status(402, "verification-failed", "", 9), discard: sure},
		{name: "400 of the scheme", paid: status(400, "method-unsupported", "", 9), spent: 100},
		{name: "after an unknown outcome", paid: status(402, "verification-failed", "", 9), after: lose(1), maybe: true, kept: 1, spent: 100},
		{name: "after an unknown outcome, token revoked", paid: status(402, "verification-failed", "", 9), after: lose(1), discard: sure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig, _ *Config) {
					r.seller.paid, r.seller.after, r.purse.discard = tt.paid, tt.after, tt.discard
				})
				_, _, err := r.get(t, shopURL)
				e, ok := errors.AsType[*DeclinedError](err)
				if !errors.Is(err, ErrDeclined) || !ok || e.MaybeCharged != tt.maybe || e.Problem.Slug() == "" {
					t.Fatalf("error %v (%+v)", err, e)
				}
				if r.kept(t) != tt.kept || r.spent(t) != tt.spent || r.purse.proofs() != 1 {
					t.Errorf("%d kept, %d spent, %d proofs", r.kept(t), r.spent(t), r.purse.proofs())
				}
				if tt.kept == 0 {
					return
				}
				// Asked again it is not paid again, until a person says so.
				if _, _, err := r.get(t, shopURL); !errors.Is(err, ErrDeclined) || r.purse.proofs() != 1 {
					t.Errorf("%v, %d proofs", err, r.purse.proofs())
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shopURL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Forget(req); err != nil || r.kept(t) != 0 {
					t.Errorf("forget: %v, %d kept", err, r.kept(t))
				}
				r.seller.paid, r.seller.after = nil, nil
				if _, _, err := r.get(t, shopURL); err != nil || r.purse.proofs() != 2 {
					t.Errorf("%v, %d proofs", err, r.purse.proofs())
				}
			})
		})
	}
}

func TestAnswersThatAreNoSuccess(t *testing.T) {
	for _, tt := range []struct {
		code int
		slug string
	}{{404, ""}, {403, ""}, {400, ""}, {409, ""}, {304, ""}, {410, "x"}} {
		t.Run(http.StatusText(tt.code), func(t *testing.T) {
			r := newRig(t, func(r *rig, _ *Config) {
				r.seller.paid = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
					w.WriteHeader(tt.code)
					if tt.code != 304 {
						fmt.Fprint(w, "the api's own words")
					}
					return true
				}
			})
			resp, body, err := r.get(t, shopURL)
			if err != nil || resp.StatusCode != tt.code || tt.code != 304 && body != "the api's own words" {
				t.Fatalf("%q, %v", body, err)
			}
			if res, _ := ResultOf(resp); !res.Presented || res.Receipt != nil || r.kept(t) != 0 {
				t.Errorf("%+v, %d kept", res, r.kept(t))
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	var elsewhere []http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Clone())
	}))
	defer other.Close()
	away := func(at int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == at {
				http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			}
			return n == at
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*seller)
		want []error
		kept int
	}{
		{"at the second look", func(s *seller) { s.bare = away(2) }, []error{ErrRedirect}, 0},
		{"of the credential", func(s *seller) { s.paid = away(1) }, []error{ErrRedirect, ErrPending}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere = nil
			r := newRig(t, func(r *rig, _ *Config) { tt.edit(r.seller) })
			_, _, err := r.get(t, shopURL)
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			if len(elsewhere) != 0 || r.kept(t) != tt.kept {
				t.Errorf("it was followed: %v; %d kept", elsewhere, r.kept(t))
			}
			// Asked again, what may have been paid is presented again and the rest is bought.
			r.seller.bare, r.seller.paid = nil, nil
			resp, _, err := r.get(t, shopURL)
			if err != nil {
				t.Fatal(err)
			}
			if res, _ := ResultOf(resp); res.Resumed != (tt.kept == 1) || r.purse.proofs() != 2-tt.kept {
				t.Errorf("resumed %v, %d proofs", res.Resumed, r.purse.proofs())
			}
		})
	}
	t.Run("before the offer it is the client's business and carries nothing", func(t *testing.T) {
		elsewhere = nil
		r := newRig(t, nil)
		r.seller.bare = away(1)
		r.cfg.Base = byHost{shopHost: r.seller, "": newBase()}
		if _, _, err := r.get(t, shopURL); err != nil || len(elsewhere) != 1 || elsewhere[0].Get("Authorization") != "" {
			t.Errorf("%v, %v", err, elsewhere)
		}
	})
}

type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if rt, ok := b[r.URL.Hostname()]; ok {
		return rt.RoundTrip(r)
	}
	return b[""].RoundTrip(r)
}

func TestSecondLook(t *testing.T) {
	at := func(k, code int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n >= 2 && n < 2+k {
				w.WriteHeader(code)
			}
			return n >= 2 && n < 2+k
		}
	}
	for _, tt := range []struct {
		name   string
		bare   func(int, http.ResponseWriter, *http.Request) bool
		status int
		paid   bool
	}{
		{"is free by then", at(1<<20, 200), 200, false},
		{"is gone by then", at(1<<20, 404), 404, false},
		{"fails for a while", at(3, 503), 200, true},
		{"fails for good", at(1<<20, 503), 503, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig, _ *Config) { r.seller.bare = tt.bare })
				resp, _, err := r.get(t, shopURL)
				if err != nil || resp.StatusCode != tt.status {
					t.Fatalf("%v, %v", resp, err)
				}
				res, _ := ResultOf(resp)
				spent, gone := int64(0), 1
				if tt.paid {
					spent, gone = 100, 0
				}
				if res.Presented != tt.paid || r.spent(t) != spent || len(r.purse.discarded) != gone {
					t.Errorf("%+v, %d spent, %d discarded", res, r.spent(t), len(r.purse.discarded))
				}
			})
		})
	}
}

// A body that breaks off leaves the credential in the journal: the seller may
// still owe the rest.
func TestBodyBreaksOff(t *testing.T) {
	r := newRig(t, nil)
	broken := true
	r.seller.after = func(_ int, resp *http.Response) (*http.Response, error) {
		if broken {
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("the g"), failing{io.ErrUnexpectedEOF}))
		}
		return resp, nil
	}
	if _, body, err := r.get(t, shopURL); !errors.Is(err, io.ErrUnexpectedEOF) || body != "the g" || r.kept(t) != 1 {
		t.Fatalf("%q, %v, %d kept", body, err, r.kept(t))
	}
	broken = false
	if _, body, err := r.get(t, shopURL); err != nil || body != "the goods" || r.purse.proofs() != 1 || r.kept(t) != 0 {
		t.Errorf("%q, %v, %d proofs, %d kept", body, err, r.purse.proofs(), r.kept(t))
	}
}

// While an answer is being read, an equal request is a purchase of its own.
func TestEqualRequestsAtOnceAreTwoPurchases(t *testing.T) {
	r := newRig(t, nil)
	var open []*http.Response
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shopURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	if _, _, charges := r.seller.counts(); charges != 2 || r.kept(t) != 2 {
		t.Errorf("%d charges, %d kept", charges, r.kept(t))
	}
	for _, resp := range open {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	if r.kept(t) != 0 || len(r.busy) != 0 {
		t.Errorf("%d kept, %d busy", r.kept(t), len(r.busy))
	}
}

// net/http repeats a request by itself when a kept-alive connection dies under it.
// The refusal of the second copy then proves nothing about the first.
func TestSilentRepeatLeavesDoubt(t *testing.T) {
	r := newRig(t, nil)
	var presented atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !r.seller.proto.Presents(req.Header) {
			r.seller.ServeHTTP(w, req)
			return
		}
		if presented.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		writeProblem(w, http.StatusPaymentRequired, "verification-failed", "Already processed.")
	}))
	defer srv.Close()
	r.seller.realm = "127.0.0.1"
	r.cfg.Base = srv.Client().Transport
	_, _, err := r.get(t, srv.URL)
	e, ok := errors.AsType[*DeclinedError](err)
	if presented.Load() < 2 || !ok || !e.MaybeCharged || r.kept(t) != 1 {
		t.Errorf("%v after %d copies, %d kept", err, presented.Load(), r.kept(t))
	}
}

func TestBodies(t *testing.T) {
	r := newRig(t, func(_ *rig, c *Config) { c.MaxBody = 8 })
	if _, _, err := r.send(t, http.MethodPost, shopURL, "123456789"); !errors.Is(err, ErrBody) {
		t.Errorf("known length: %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, shopURL, struct{ io.Reader }{strings.NewReader("123456789")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Do(req); !errors.Is(err, ErrBody) {
		t.Errorf("unknown length: %v", err)
	}
	if _, body, err := r.send(t, http.MethodPost, shopURL, "12345678"); err != nil || body != "the goods" {
		t.Errorf("at the limit: %q, %v", body, err)
	}
}

func TestOwnCredentialPassesThrough(t *testing.T) {
	for _, field := range []string{"Authorization", "Payment-Authorization"} {
		r := newRig(t, func(r *rig, _ *Config) {
			r.seller.paid = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusPaymentRequired)
				return true
			}
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shopURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(field, "payment e30")
		resp, err := r.client.Do(req)
		if err != nil || resp.StatusCode != http.StatusPaymentRequired || r.purse.proofs() != 0 {
			t.Errorf("%s: %v, %v, %d proofs", field, resp, err, r.purse.proofs())
		}
	}
}

// A seller that lets the words of its 402 drip does not hold the payer for ever.
func TestDrippingProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.cfg.Base = roundTrip(func(req *http.Request) (*http.Response, error) {
			resp, err := r.seller.RoundTrip(req)
			if err == nil && resp.StatusCode == http.StatusPaymentRequired {
				pr, _ := io.Pipe()
				resp.Body = pr
			}
			return resp, err
		})
		if _, body, err := r.get(t, shopURL); err != nil || body != "the goods" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNothingSecretIsPrinted(t *testing.T) {
	const token = "spt_SECRET"
	p := Presentation{ID: "i", Credential: token, Proof: token, Amount: usd(1), URL: "https://x/?k=" + token}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).InfoContext(t.Context(), "x", "p", p, "s", Secret(token), "proof", Proof{ID: token},
		"request", Result{ReceiptToken: token})
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x %d", Secret(token), Tokens{Access: token}, Secret(token), Secret(token), Secret(token), Secret(token), Secret(token))
	if strings.Contains(b.String(), "SECRET") || strings.Contains(b.String(), fmt.Sprintf("%x", token)) {
		t.Errorf("a secret is in %s", b.String())
	}
}

func TestNewTransportNamesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		want string
		edit func(*Config)
	}{
		{"Config.Wallet", func(c *Config) { c.Wallet = nil }},
		{"Policy.PerPayment", func(c *Config) { c.Policy = Policy{} }},
		{"Policy.PerPayment", func(c *Config) { c.Policy.PerPayment = Limits{usd(1), usd(2)} }},
		{"Policy.PerDay", func(c *Config) { c.Policy.PerDay = Limits{usd(-1)} }},
		{"Policy.AskAbove", func(c *Config) { c.Policy.AskAbove = Limits{money.Amount{}} }},
		{"Policy.PerHost of a", func(c *Config) { c.Policy.PerHost = map[string]Limits{"a": {usd(-1)}} }},
		{`"A.example"`, func(c *Config) { c.Policy.Hosts = []string{"A.example"} }},
		{`"a.example:80"`, func(c *Config) { c.Policy.Hosts = []string{"a.example:80"} }},
		{"Policy.Hosts", func(c *Config) { c.Policy.Hosts = []string{"*"} }},
		{"not negative", func(c *Config) { c.Attempts = -1 }},
	} {
		c := Config{Wallet: &purse{}, Policy: freely()}
		tt.edit(&c)
		if _, err := NewTransport(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one that names %s", err, tt.want)
		}
	}
}

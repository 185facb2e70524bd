package gate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"paywall/gate"
	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestA004_OtherHost(t *testing.T) {
	store, opt := watch()
	h := newHouse(t, opt)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	field := h.credential(h.challenge(router, "GET", "/a", ""), h.token())
	for name, alter := range map[string]func(*http.Request){
		"Host field":           func(r *http.Request) { r.Host = "evil.example" },
		"absolute form":        func(r *http.Request) { r.RequestURI = "http://evil.example/a" },
		"both":                 func(r *http.Request) { r.Host, r.RequestURI = "evil.example", "http://evil.example/a" },
		"a name below":         func(r *http.Request) { r.Host = "x." + realm },
		"loopback is not ours": func(r *http.Request) { r.Host = "127.0.0.1" },
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "GET", "/a", "")
			r.Header.Set("Authorization", field)
			alter(r)
			if w := do(router, r); w.Code != http.StatusMisdirectedRequest || w.Header().Get("Www-Authenticate") != "" {
				t.Errorf("%d %v, want 421 without a challenge", w.Code, w.Header())
			}
			h.untouched(t)
		})
	}
	if store.writes.Load()+store.reads.Load() != 0 {
		t.Errorf("%d writes and %d reads", store.writes.Load(), store.reads.Load())
	}
}

func TestA007_AlteredAmount(t *testing.T) {
	for name, swap := range map[string][2]string{
		"amount": {`"amount":"100"`, `"amount":"50"`}, "currency": {`"currency":"usd"`, `"currency":"jpy"`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"GET /a": "1.00 USD"})
			c := h.challenge(router, "GET", "/a", "")
			object, err := c.RequestObject()
			h.must(err)
			altered := strings.Replace(string(object), swap[0], swap[1], 1)
			if altered == string(object) {
				t.Fatalf("%s is not in %s", swap[0], object)
			}
			c.Request = mpp.EncodeBase64([]byte(altered))
			h.refused(t, present(t, router, "GET", "/a", "", h.credential(c, h.token())), "invalid-challenge")
		})
	}
}

// moving is a price that changes.
type moving struct {
	mu    sync.Mutex // guards quote
	quote payment.Quote
}

func (m *moving) set(q payment.Quote) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quote = q
}

func (m *moving) Quote(context.Context, *http.Request, []byte) (payment.Quote, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quote, nil
}

func (*moving) Prices() []money.Amount { return nil }

func price(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A challenge of another price or version is not taken; what it would have been
// charged with is what the fresh challenge says.
func TestA008_PriceChanged(t *testing.T) {
	one := price(t, "1.00 USD")
	for _, tt := range []struct {
		name         string
		first, later payment.Quote
	}{
		{"raised", payment.Quote{Amount: one}, payment.Quote{Amount: price(t, "2.00 USD")}},
		{"cut", payment.Quote{Amount: price(t, "2.00 USD")}, payment.Quote{Amount: one}},
		{"other version", payment.Quote{Amount: one, Version: "1"}, payment.Quote{Amount: one, Version: "2"}},
		{"other currency", payment.Quote{Amount: one}, payment.Quote{Amount: price(t, "1.00 EUR")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			pricer := &moving{quote: tt.first}
			router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: pricer, Handler: h.api}})
			h.must(err)
			field := h.credential(h.challenge(router, "GET", "/a", ""), h.token())
			pricer.set(tt.later)
			h.refused(t, present(t, router, "GET", "/a", "", field), "")
			if w := do(router, h.paid(router, "GET", "/a", "")); w.Code != 200 {
				t.Fatalf("the new price: %d %s", w.Code, w.Body)
			}
			h.settled(1, 0)
			all, err := h.store.List(t.Context(), payment.Filter{}, "", 10)
			if err != nil || len(all) != 1 || all[0].Amount != tt.later.Amount {
				t.Errorf("payments %v, %v; want one of %s", all, err, tt.later.Amount)
			}
		})
	}
}

// What was paid at the old price is collected at the old price.
func TestA008_CollectedAfterChange(t *testing.T) {
	h := newHouse(t)
	pricer := &moving{quote: payment.Quote{Amount: price(t, "1.00 USD")}}
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: pricer, Handler: h.api}})
	h.must(err)
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	r := h.paid(router, "GET", "/a", "")
	if w := do(router, r); w.Code != http.StatusBadGateway {
		t.Fatalf("%d", w.Code)
	}
	h.api.set(nil)
	pricer.set(payment.Quote{Amount: price(t, "9.00 USD")})
	if w := do(router, r); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

func TestA013_ExpiryForms(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	c := h.challenge(router, "GET", "/a", "")
	issued, err := time.Parse(time.RFC3339, c.Expires)
	h.must(err)
	for name, expires := range map[string]string{
		"offset":      strings.Replace(c.Expires, "Z", "+00:00", 1),
		"lower case":  strings.ToLower(c.Expires),
		"nanoseconds": strings.Replace(c.Expires, "Z", ".000000000Z", 1),
		"no seconds":  issued.Format("2006-01-02T15:04Z"),
		"leap second": issued.Format("2006-01-02T15:04") + ":60Z",
		"later":       issued.Add(time.Second).Format("2006-01-02T15:04:05Z"),
		"far":         "9999-12-31T23:59:59Z",
		"space":       strings.Replace(c.Expires, "T", " ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			forged := c
			forged.Expires = expires
			payload := json.RawMessage(`{"token":"tok_x"}`)
			cred, err := mpp.NewCredential(forged, payload)
			if err != nil {
				return // cannot even be written down
			}
			field, err := cred.Format()
			if err != nil {
				return
			}
			h.refused(t, present(t, router, "GET", "/a", "", field), "")
		})
	}
	field := h.credential(c, h.token())
	h.clock.add(issued.Sub(h.clock.Now()))
	t.Run("at the instant it is over", func(t *testing.T) {
		h.refused(t, present(t, router, "GET", "/a", "", field), "payment-expired")
	})
}

func TestA013_LastMoment(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	c := h.challenge(router, "GET", "/a", "")
	issued, err := time.Parse(time.RFC3339, c.Expires)
	h.must(err)
	h.clock.add(issued.Sub(h.clock.Now()) - time.Millisecond)
	if w := present(t, router, "GET", "/a", "", h.credential(c, h.token())); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

func TestA014_ExpiresWhileSettling(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	h.rail.Script("charge", paymenttest.Reply{Hook: func(context.Context, payment.Payment) { h.clock.add(10 * time.Minute) }})
	if w := do(router, h.paid(router, "GET", "/a", "")); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

// wire is a valid credential as JSON, which the tests below spoil.
func (h *house) wire(t *testing.T, handler http.Handler, token string) string {
	t.Helper()
	field := h.credential(h.challenge(handler, "GET", "/a", ""), token)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(field, "Payment "))
	h.must(err)
	return string(raw)
}

func encoded(s string) string { return "Payment " + base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestSpoiledCredentials(t *testing.T) {
	replace := func(from, to string) func(string) string {
		return func(s string) string { return encoded(strings.Replace(s, from, to, 1)) }
	}
	utf16le := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	forgedPayload := `"payload":{"token":"tok_evil"},`
	for _, tt := range []struct {
		name  string
		spoil func(string) string
	}{
		{"A016_PayloadTwice", func(s string) string { return encoded("{" + forgedPayload + s[1:]) }},
		{"A016_PayloadTwiceReversed", func(s string) string {
			return encoded(s[:len(s)-1] + "," + strings.TrimSuffix(forgedPayload, ",") + "}")
		}},
		{"A016_ChallengeTwice", func(s string) string { return encoded(`{"challenge":{},` + s[1:]) }},
		{"A016_TokenTwice", replace(`"token":`, `"token":"tok_evil","token":`)},
		{"A017_UpperCaseName", replace(`"payload"`, `"PAYLOAD"`)},
		{"A017_BothCases", func(s string) string { return encoded(`{"Payload":{"token":"tok_evil"},` + s[1:]) }},
		{"A017_LongS", replace(`"expires"`, `"expireſ"`)},
		{"A018_NumberForId", replace(`"realm":"`+realm+`"`, `"realm":1e2`)},
		{"A018_NullExpires", func(s string) string { return encoded(strings.Replace(s, `"expires":"`, `"expires":null,"x":"`, 1)) }},
		{"A018_PayloadIsNumber", replace(`"payload":{"token":"tok_1"}`, `"payload":9007199254740993`)},
		{"A019_InvalidUTF8", replace(`tok_1`, "tok_\xff")},
		{"A019_LoneSurrogate", replace(`tok_1`, `tok_\ud800`)},
		{"A019_ByteOrderMark", func(s string) string { return encoded("\ufeff" + s) }},
		{"A019_NUL", replace(`"payload"`, "\x00\"payload\"")},
		{"A020_SpacedRequest", func(s string) string {
			return encoded(reserialised(t, s, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`":"`), []byte(`": "`)) }))
		}},
		{"A020_EscapedRequest", func(s string) string {
			return encoded(reserialised(t, s, func(b []byte) []byte { return bytes.Replace(b, []byte(`"100"`), []byte(`"\u003100"`), 1) }))
		}},
		{"A021_Padded", func(s string) string { return "Payment " + base64.URLEncoding.EncodeToString([]byte(s+" ")) + "=" }},
		{"A021_InnerSpace", func(s string) string { f := encoded(s); return f[:40] + " " + f[40:] }},
		{"A021_PercentEncoded", func(s string) string { f := encoded(s); return f[:40] + "%41" + f[41:] }},
		{"A022_TwoObjects", func(s string) string { return encoded(s + s) }},
		{"A022_Trailing", func(s string) string { return encoded(s + "x") }},
		{"A022_UTF16", func(s string) string { return encoded(utf16le(s)) }},
		{"A023_Deep", func(s string) string {
			return encoded(strings.Replace(s, `"payload":{`, `"payload":{"d":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`,`, 1))
		}},
		{"A023_ManyKeys", func(s string) string {
			return encoded(strings.Replace(s, `"payload":{`, `"payload":{`+strings.Repeat(`"a":1,`, 900), 1))
		}},
		{"A024_TooLong", func(s string) string {
			return encoded(strings.Replace(s, `tok_1`, "tok_"+strings.Repeat("x", 16<<10), 1))
		}},
		{"A024_FarTooLong", func(s string) string {
			return encoded(strings.Replace(s, `tok_1`, "tok_"+strings.Repeat("x", 200<<10), 1))
		}},
		{"A026_NoToken", func(string) string { return "Payment" }},
		{"empty object", func(string) string { return encoded("{}") }},
		{"not base64", func(string) string { return "Payment !!!" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, opt := watch()
			h := newHouse(t, opt)
			router := h.router(map[string]string{"GET /a": "1.00 USD"})
			w := present(t, router, "GET", "/a", "", tt.spoil(h.wire(t, router, "tok_1")))
			h.refused(t, w, "")
			if store.writes.Load()+store.reads.Load() != 0 {
				t.Errorf("%d writes and %d reads", store.writes.Load(), store.reads.Load())
			}
			if strings.Contains(w.Body.String(), "tok_") {
				t.Errorf("the answer repeats the credential: %s", w.Body)
			}
		})
	}
}

// reserialised changes the bytes of the echoed request, keeping its meaning.
func reserialised(t *testing.T, wire string, change func([]byte) []byte) string {
	t.Helper()
	_, after, ok := strings.Cut(wire, `"request":"`)
	request, _, closed := strings.Cut(after, `"`)
	raw, err := base64.RawURLEncoding.DecodeString(request)
	if !ok || !closed || err != nil {
		t.Fatalf("no request in %s: %v", wire, err)
	}
	changed := change(bytes.Clone(raw))
	if bytes.Equal(changed, raw) {
		t.Fatalf("nothing changed in %s", raw)
	}
	return strings.Replace(wire, request, base64.RawURLEncoding.EncodeToString(changed), 1)
}

// A024: what a wallet may need is taken.
func TestA024_LongButAllowed(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	field := encoded(strings.Replace(h.wire(t, router, "tok_1"), "tok_1", "tok_"+strings.Repeat("x", 2700), 1))
	if w := present(t, router, "GET", "/a", "", field); len(field) < 4<<10 || w.Code != 200 {
		t.Errorf("%d bytes: %d %s", len(field), w.Code, w.Body)
	}
	h.settled(1, 0)
}

// Spellings of one credential are one credential: the second never charges again.
func TestA021_OneCredentialTwoSpellings(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	wire := h.wire(t, router, "tok_1")
	for name, field := range map[string]string{
		"as issued": encoded(wire), "spaced": encoded(" " + wire + "\n"), "extra member": encoded(strings.Replace(wire, `"token"`, `"x":1,"token"`, 1)),
		"standard alphabet": "Payment " + base64.StdEncoding.EncodeToString([]byte(wire)), "A026 lower-case scheme": "payment" + strings.TrimPrefix(encoded(wire), "Payment"), "A026 two spaces": "Payment  " + strings.TrimPrefix(encoded(wire), "Payment "),
	} {
		w := present(t, router, "GET", "/a", "", field)
		if w.Code != 200 && w.Code != 402 && w.Code != 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if n := h.api.count(); n > 1 {
		t.Errorf("%d executions", n)
	}
	if c, _ := h.rail.Total(); c > 1 {
		t.Errorf("%d charges", c)
	}
}

// The digest is over the bytes that the upstream gets, however they come.
func TestA030_BodyForms(t *testing.T) {
	zipped := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	for _, tt := range []struct {
		name         string
		asked, spent string
		chunked      bool
		want         int
	}{
		{name: "chunked", asked: "x", spent: "x", chunked: true, want: 200},
		{name: "gzip of the same is another body", asked: "x", spent: zipped("x"), want: 402},
		{name: "empty is absent", asked: "", spent: "", chunked: true, want: 200},
		{name: "a body where there was none", asked: "", spent: "x", want: 402},
		{name: "none where there was a body", asked: "x", spent: "", want: 402},
		{name: "none where there was a body, chunked", asked: "x", spent: "", chunked: true, want: 402},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"POST /a": "1.00 USD"})
			field := h.credential(h.challenge(router, "POST", "/a", tt.asked), h.token())
			r := request(t, "POST", "/a", tt.spent)
			if tt.chunked {
				r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(strings.NewReader(tt.spent)), -1, []string{"chunked"}
				r.Trailer = http.Header{"Authorization": {"Payment x"}}
			}
			r.Header.Set("Authorization", field)
			w := do(router, r)
			if w.Code != tt.want {
				t.Fatalf("%d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want != 200 {
				h.refused(t, w, "invalid-challenge")
				return
			}
			if h.api.seen[0] != "POST /a "+tt.spent || len(h.api.last.Trailer) != 0 || h.api.last.ContentLength != int64(len(tt.spent)) {
				t.Errorf("the handler got %q, trailers %v, length %d", h.api.seen, h.api.last.Trailer, h.api.last.ContentLength)
			}
		})
	}
}

// A stated digest gets a challenge without the body, and buys that body alone.
func TestA030_StatedDigest(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"POST /a": "1.00 USD"})
	ask := request(t, "POST", "/a", "")
	ask.Body, ask.ContentLength = io.NopCloser(never{}), 1
	sum := sha256.Sum256([]byte("x"))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	ask.Header.Set("Content-Digest", digest)
	w := do(router, ask)
	cs, err := mpp.ParseChallenges(w.Result().Header)
	if err != nil || w.Code != http.StatusPaymentRequired {
		t.Fatalf("%d %v", w.Code, err)
	}
	if cs[0].Digest == "" {
		t.Fatal("the challenge is not bound to the body")
	}
	field := h.credential(cs[0], h.token())
	r := request(t, "POST", "/a", "y")
	r.Header.Set("Content-Digest", digest)
	r.Header.Set("Authorization", field)
	h.refused(t, do(router, r), "invalid-challenge")
	if w := present(t, router, "POST", "/a", "x", field); w.Code != 200 {
		t.Errorf("the body itself: %d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

// never is a body that must not be read.
type never struct{}

func (never) Read([]byte) (int, error) { panic("the body was read") }

func TestA031_DistinctChallenges(t *testing.T) {
	h := newHouse(t) // whose clock stands still
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	seen := map[string]bool{}
	for range 1000 {
		c := h.challenge(router, "GET", "/a", "")
		if seen[c.ID] {
			t.Fatalf("challenge %s twice", c.ID)
		}
		seen[c.ID] = true
	}
}

func TestA032_KeyRotation(t *testing.T) {
	old := mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)}
	next := mpp.Key{ID: "k2", Secret: bytes.Repeat([]byte{8}, 32)}
	with := func(current mpp.Key, previous ...mpp.Key) option {
		return func(gc *gate.Config, _ *payment.Config) {
			keys, err := mpp.NewKeyRing(current, previous...)
			if err != nil {
				t.Fatal(err)
			}
			scheme, err := mpp.New(mpp.Config{Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			gc.Protocols = []payment.Protocol{scheme}
		}
	}
	routes := map[string]string{"GET /a": "1.00 USD"}
	h := newHouse(t)
	field := h.credential(h.challenge(h.router(routes), "GET", "/a", ""), h.token())
	t.Run("revoked", func(t *testing.T) {
		h.build(with(next))
		h.refused(t, present(t, h.router(routes), "GET", "/a", "", field), "invalid-challenge")
	})
	t.Run("rotated", func(t *testing.T) {
		h.build(with(next, old))
		if w := present(t, h.router(routes), "GET", "/a", "", field); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		h.settled(1, 0)
	})
}

// A040: for a credential that was never ours nothing is looked up, and each
// answer is one of the documented problems.
func TestA040_Oracle(t *testing.T) {
	store, opt := watch()
	h := newHouse(t, opt)
	router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /b": "1.00 USD"})
	used := h.credential(h.challenge(router, "GET", "/a", ""), h.token())
	if w := present(t, router, "GET", "/a", "", used); w.Code != 200 {
		t.Fatal(w.Code)
	}
	unknown := h.challenge(router, "GET", "/a", "")
	unknown.ID = strings.Repeat("A", 43)
	foreign := h.challenge(router, "GET", "/b", "")
	before := store.reads.Load() + store.writes.Load()
	for name, field := range map[string]string{"unknown": h.credential(unknown, h.token()), "foreign": h.credential(foreign, h.token())} {
		w := present(t, router, "GET", "/a", "", field)
		if w.Code != 402 || !strings.Contains(w.Body.String(), "problems/invalid-challenge") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if after := store.reads.Load() + store.writes.Load(); after != before {
		t.Errorf("%d calls of the store for credentials that are not ours", after-before)
	}
	h.clock.add(time.Hour)
	late := present(t, router, "GET", "/a", "", used)
	if late.Code != 402 {
		t.Errorf("used and expired: %d %s", late.Code, late.Body)
	}
	h.settled(1, 0)
}

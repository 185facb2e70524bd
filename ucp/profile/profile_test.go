package profile_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/internal/httpsig"
	"paywall/payment"
	"paywall/ucp/profile"
	"paywall/ucp/protocol"
	"paywall/ucp/ucptest"
)

// till is a way to pay that is only declared.
type till struct{}

func (till) Name() string { return "com.stripe.payments" }

func (till) Declare(protocol.Version, *checkout.Due, time.Time) (protocol.Declaration, bool) {
	return protocol.Declaration{
		ID: "stripe_main", Version: "2026-06-25", Spec: "https://docs.stripe.com/ucp", Schema: "https://stripe.com/ucp/schema.json",
		Instruments: []protocol.InstrumentType{{Type: "link"}}, Config: json.RawMessage(`{"environment":"sandbox"}`),
	}, true
}

func (till) Credential(protocol.Instrument, checkout.Due, time.Time) (payment.Credential, error) {
	panic("nobody pays here")
}

func full() profile.Config {
	return profile.Config{
		Origin: "https://shop.example.com", Handlers: []protocol.Handler{till{}},
		Keys:      []httpsig.JWK{{ID: "k1", Type: "EC", Curve: "P-256", X: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", Y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", Algorithm: "ES256", Use: "sig"}},
		Permalink: "https://shop.example.com/shop/buy", Receipt: "com.example.shop.receipt",
		ReceiptSpec: "https://shop.example.com/ucp/receipt.md", ReceiptSchema: "https://shop.example.com/ucp/receipt.json",
	}
}

type document struct {
	UCP struct {
		Version      string
		Versions     map[string]string `json:"supported_versions"`
		Services     map[string][]struct{ Version, Transport, Endpoint string }
		Capabilities map[string][]struct{ Version string }
	}
	Keys, SigningKeys []json.RawMessage
}

// TestDocument holds each version's profile against its schema, and shows that none
// speaks for the other.
func TestDocument(t *testing.T) {
	bare := profile.Config{Origin: "https://shop.example.com"}
	local := full()
	local.Origin, local.Permalink, local.ReceiptSchema = "http://127.0.0.1:4020", "http://127.0.0.1:4020/shop/buy", ""
	for name, c := range map[string]profile.Config{"full": full(), "bare": bare, "local": local} {
		for _, v := range protocol.Versions() {
			data, err := c.Document(v)
			if err != nil {
				t.Fatal(err)
			}
			if name != "local" { // the schemas want https everywhere
				ucptest.Open(t, v).Valid(t, "profile", data)
			}
			var doc document
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			if doc.UCP.Version != string(v) {
				t.Errorf("%s %s: it is of %s", name, v, doc.UCP.Version)
			}
			if current := v == protocol.Current; current != (len(doc.UCP.Versions) == len(protocol.Versions())-1) || current != (doc.UCP.Versions[string(protocol.April2026)] == c.Origin+profile.Path(protocol.April2026)) {
				t.Errorf("%s %s: the other versions are %v", name, v, doc.UCP.Versions)
			}
			for _, s := range doc.UCP.Services[protocol.Service] {
				if s.Version != string(v) || !strings.HasPrefix(s.Endpoint, c.Origin+profile.Endpoint(v)) {
					t.Errorf("%s %s: a service of %+v", name, v, s)
				}
			}
			for capability, entries := range doc.UCP.Capabilities {
				if capability != full().Receipt && entries[0].Version != string(v) {
					t.Errorf("%s %s: %s is of %s", name, v, capability, entries[0].Version)
				}
			}
			_, receipt := doc.UCP.Capabilities["com.example.shop.receipt"]
			_, permalink := doc.UCP.Capabilities[protocol.Permalink]
			if receipt != (name == "full" || name == "local" && v != protocol.Current) || permalink != (name == "full" && v == protocol.Current) {
				t.Errorf("%s %s: receipts %v, permalinks %v", name, v, receipt, permalink)
			}
			offered := full().Offer()[v]
			for capability := range doc.UCP.Capabilities {
				if _, ok := offered[capability]; !ok {
					t.Errorf("%s %s: %s is declared and cannot be negotiated", name, v, capability)
				}
			}
		}
	}
	if _, err := (profile.Config{}).Document(protocol.Current); err == nil {
		t.Error("a profile of nowhere")
	}
	if e := full().Offer()[protocol.Current][protocol.Discount]; !slices.Contains(e.Extends, protocol.Checkout) {
		t.Errorf("discounts extend %v", e.Extends)
	}
}

// TestServe shows what caches are told.
func TestServe(t *testing.T) {
	h := profile.Serve([]byte(`{"ucp":{}}`))
	do := func(method, match string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/.well-known/ucp", http.NoBody)
		if match != "" {
			r.Header.Set("If-None-Match", match)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	tag := do(http.MethodGet, "").Header().Get("Etag")
	for name, tt := range map[string]struct {
		method, match string
		status        int
		body          string
	}{
		"read":                 {http.MethodGet, "", 200, `{"ucp":{}}`},
		"its head":             {http.MethodHead, "", 200, ""},
		"known":                {http.MethodGet, tag, 304, ""},
		"known, weakly":        {http.MethodGet, `"other", W/` + tag, 304, ""},
		"anything is known":    {http.MethodGet, "*", 304, ""},
		"another is known":     {http.MethodGet, `"other"`, 200, `{"ucp":{}}`},
		"a part of it is":      {http.MethodGet, tag[:5] + `"`, 200, `{"ucp":{}}`},
		"written":              {http.MethodPost, "", 405, ""},
		"written, if unknown":  {http.MethodDelete, tag, 405, ""},
		"the head of the same": {http.MethodHead, tag, 304, ""},
	} {
		w := do(tt.method, tt.match)
		if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Etag") != tag || tag == "" {
			t.Errorf("%s: %d %q %v", name, w.Code, w.Body, w.Header())
		}
		if c := w.Header().Get("Cache-Control"); !strings.Contains(c, "max-age=") || !strings.Contains(c, "public") {
			t.Errorf("%s: Cache-Control %q", name, c)
		}
	}
	w := httptest.NewRecorder()
	profile.Serve([]byte("{}")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/ucp", http.NoBody))
	if w.Header().Get("Etag") == tag {
		t.Error("two documents have one tag")
	}
}

func BenchmarkServe(b *testing.B) {
	data, err := full().Document(protocol.Current)
	if err != nil {
		b.Fatal(err)
	}
	h := profile.Serve(data)
	r := httptest.NewRequest(http.MethodGet, "/.well-known/ucp", http.NoBody)
	w := &nobody{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// nobody reads an answer.
type nobody struct{ h http.Header }

func (n *nobody) Header() http.Header       { return n.h }
func (*nobody) Write(b []byte) (int, error) { return len(b), nil }
func (*nobody) WriteHeader(int)             {}

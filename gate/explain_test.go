package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/gate"
	"paywall/internal/strictjson"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// spoken is a protocol that explains itself. Its credential is the field X-Spoken
// with a name that is the token, the challenge and the fingerprint at once; "bad-…"
// is malformed, "open-…" has an open outcome.
type spoken struct {
	// status is its own for what it refuses; members are those of a 402.
	status  int
	members func(*http.Request, payment.Scope, *payment.Error) []byte
	// asking, if set, is told of the offer that is asked for.
	asking func(payment.Offer)
}

func (spoken) Name() string                { return "spoken" }
func (spoken) Presents(h http.Header) bool { return len(h["X-Spoken"]) > 0 }
func (spoken) Fingerprint(h http.Header) (string, error) {
	if len(h["X-Spoken"]) == 0 {
		return "", payment.ErrNoCredential
	}
	return "hash-" + h["X-Spoken"][0], nil
}

func (p *spoken) Compile(_ string, offers []payment.Offer) (payment.Dialect, error) {
	if len(offers) == 0 {
		return nil, payment.ErrNotOffered
	}
	return spokenDialect{p, offers}, nil
}

// spokenDialect cannot be compared, as nothing says that a dialect can.
type spokenDialect struct {
	p      *spoken
	offers []payment.Offer
}

func (d spokenDialect) Challenge(h http.Header, _ *http.Request, s payment.Scope, _ time.Time) error {
	h["X-Asks"] = append(h["X-Asks"], s.Target)
	if d.p.asking != nil {
		d.p.asking(d.offers[0])
	}
	return nil
}

func (d spokenDialect) Credential(r *http.Request, s payment.Scope, now time.Time) (payment.Credential, error) {
	name := r.Header.Get("X-Spoken")
	switch {
	case strings.HasPrefix(name, "bad-"):
		return payment.Credential{}, &payment.Error{Kind: payment.KindMalformedCredential, Detail: "bad", Reason: "unreadable"}
	case strings.HasPrefix(name, "open-"):
		return payment.Credential{}, &payment.Error{Kind: payment.KindPending, Detail: "open", RetryAfter: time.Second}
	}
	return payment.Credential{
		Protocol: "spoken", ChallengeID: "ch-" + name, Offer: d.offers[0], Scope: s, Hash: "hash-" + name,
		Payload: json.RawMessage(`{"token":"` + name + `"}`), Expires: now.Add(time.Minute),
	}, nil
}

func (d spokenDialect) Receipt(h http.Header, p payment.Payment, _ string) error {
	h.Set("X-Spoken-Receipt", p.Reference)
	return nil
}

func (d spokenDialect) Refuse(h http.Header, _ *http.Request, s payment.Scope, e *payment.Error, _ time.Time) (int, error) {
	h.Set("X-Refused", e.Kind.String()+" "+e.Reason)
	if !e.Kind.Unsettled() {
		h["X-Asks"] = append(h["X-Asks"], s.Target)
	}
	return d.p.status, nil
}

func (d spokenDialect) Members(r *http.Request, s payment.Scope, e *payment.Error) []byte {
	if d.p.members == nil {
		return nil
	}
	return d.p.members(r, s, e)
}

var _ payment.Explainer = spokenDialect{}

// speaking adds the protocols before the Payment scheme.
func speaking(ps ...payment.Protocol) option {
	return func(gc *gate.Config, _ *payment.Config) { gc.Protocols = append(ps, gc.Protocols...) }
}

func say(h *house, router http.Handler, ask, name string) *httptest.ResponseRecorder {
	method, target, _ := strings.Cut(ask, " ")
	r := request(h.t, method, target, "")
	if name != "" {
		r.Header.Set("X-Spoken", name)
	}
	return do(router, r)
}

// The dialect that was spoken says why, and the others ask for payment, unless
// the outcome is open: then nobody does.
func TestExplainer_Refuses(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		own, want  int
		refused    string
		asks       bool
	}{
		{name: "nothing presented", own: 400, want: 402, asks: true},
		{name: "status of the kind", says: "bad-1", want: 402, refused: "malformed-credential unreadable", asks: true},
		{name: "status of its own", says: "bad-1", own: 400, want: 400, refused: "malformed-credential unreadable", asks: true},
		{name: "no status", says: "bad-1", own: 200, want: 402, refused: "malformed-credential unreadable", asks: true},
		{name: "an open outcome", says: "open-1", want: 503, refused: "payment-pending "},
		{name: "an open outcome of its own status", says: "open-1", own: 502, want: 502, refused: "payment-pending "},
		{name: "an open outcome never asks", says: "open-1", own: 402, want: 503, refused: "payment-pending "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, speaking(&spoken{status: tt.own}, &spoken{status: 418}))
			w := say(h, h.router(map[string]string{"GET /a": "1.00 USD"}), "GET /a", "")
			if tt.says != "" {
				h = newHouse(t, speaking(&spoken{status: tt.own}))
				w = say(h, h.router(map[string]string{"GET /a": "1.00 USD"}), "GET /a", tt.says)
			}
			got := w.Header()
			if w.Code != tt.want || got.Get("X-Refused") != tt.refused {
				t.Errorf("%d, refused %q: %s", w.Code, got.Get("X-Refused"), w.Body)
			}
			if (got.Get("X-Asks") != "") != tt.asks || (got.Get("Www-Authenticate") != "") != tt.asks {
				t.Errorf("asked: %v", got)
			}
			if (got.Get("Retry-After") != "") == tt.asks {
				t.Errorf("Retry-After: %q", got.Get("Retry-After"))
			}
			var doc struct{ Status int }
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Status != tt.want {
				t.Errorf("%s: %v", w.Body, err)
			}
		})
	}
}

// What is put into the document of a 402 leaves it one object of JSON, of the
// length that is declared.
func TestExplainer_Members(t *testing.T) {
	quoted := func(_ *http.Request, s payment.Scope, e *payment.Error) []byte {
		target, err := json.Marshal(s.Target)
		if err != nil {
			t.Error(err)
		}
		said := "null"
		if e != nil {
			said = `"` + e.Kind.String() + `"`
		}
		return fmt.Appendf(nil, `"resource":%s,"error":%s`, target, said)
	}
	more := func(*http.Request, payment.Scope, *payment.Error) []byte { return []byte(`"accepts":[{"a":"}"}]`) }
	for _, tt := range []struct {
		name      string
		protocols []payment.Protocol
		want      []string
	}{
		{name: "none", protocols: []payment.Protocol{&spoken{}}},
		{name: "one", protocols: []payment.Protocol{&spoken{members: quoted}}, want: []string{"resource", "error"}},
		{name: "two", protocols: []payment.Protocol{&spoken{members: quoted}, &spoken{}, &spoken{members: more}}, want: []string{"resource", "error", "accepts"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, speaking(tt.protocols...))
			router := h.router(map[string]string{"/a/**": "1.00 USD"})
			for _, target := range []string{"/a", "/a/b?q=%22%7D,{", "/a?x=%5C%22&y='<b>", "/a/%E2%98%83"} {
				w := say(h, router, "GET "+target, "")
				checkDocument(t, w, tt.want)
				if len(tt.want) > 0 && !strings.Contains(w.Body.String(), `"error":null`) {
					t.Errorf("something was refused: %s", w.Body)
				}
				if head := say(h, router, "HEAD "+target, ""); head.Code != 402 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") {
					t.Errorf("HEAD: %d %v %s", head.Code, head.Header(), head.Body)
				}
			}
			// A refusal is written anew each time, with the same members.
			r := request(t, "GET", "/a", "")
			r.Header.Set("Authorization", "Payment e30")
			w := do(router, r)
			checkDocument(t, w, tt.want)
			if len(tt.want) > 0 && !strings.Contains(w.Body.String(), `"error":"malformed-credential"`) {
				t.Errorf("%s", w.Body)
			}
		})
	}
}

func checkDocument(t *testing.T, w *httptest.ResponseRecorder, members []string) {
	t.Helper()
	if w.Code != http.StatusPaymentRequired || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("%d, %s bytes declared: %s", w.Code, w.Header().Get("Content-Length"), w.Body)
	}
	if err := strictjson.Check(w.Body.Bytes(), strictjson.Limits{}); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"type", "title", "status", "detail", "price"}, members...) {
		if doc[name] == nil {
			t.Errorf("no %s in %s", name, w.Body)
		}
	}
}

// An offer of one protocol is not shown to the others.
func TestOfferOfOneProtocol(t *testing.T) {
	h := newHouse(t, speaking(&spoken{}), func(gc *gate.Config, pc *payment.Config) {
		gc.Methods = append([]payment.Method{bound{&paymenttest.Method{ID: "coin"}, "spoken"}}, gc.Methods...)
		pc.Methods = gc.Methods
	})
	w := say(h, h.router(map[string]string{"GET /a": "1.00 USD"}), "GET /a", "")
	if lines := w.Header()["Www-Authenticate"]; len(lines) != 1 || !strings.Contains(lines[0], `method="fake"`) {
		t.Errorf("the scheme offers %q", lines)
	}
	if w.Header().Get("X-Asks") == "" {
		t.Error("the protocol itself does not ask")
	}
	_, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Methods: []string{"coin"}, Handler: h.api}})
	h.must(err)
	h = newHouse(t, func(gc *gate.Config, pc *payment.Config) {
		gc.Methods = []payment.Method{bound{&paymenttest.Method{ID: "coin"}, "spoken"}}
		pc.Methods = gc.Methods
	})
	if _, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api}}); !errors.Is(err, payment.ErrNotOffered) {
		t.Errorf("a route that nobody can pay for: %v", err)
	}
}

// bound is a rail for one protocol.
type bound struct {
	payment.Method

	protocol string
}

func (b bound) Offer(q payment.Quote) (payment.Offer, error) {
	o, err := b.Method.Offer(q)
	o.Protocol = b.protocol
	return o, err
}

// Payments of two protocols at once are none that could be chosen: nothing is read,
// and nothing taken.
func TestA025_TwoProtocolsAtOnce(t *testing.T) {
	h := newHouse(t, speaking(&spoken{}))
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	r := h.paid(router, "GET", "/a", "")
	r.Header.Set("X-Spoken", "one")
	if w := do(router, r); w.Code != http.StatusBadRequest || w.Header().Get("Payment-Receipt") != "" || h.api.count() != 0 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	h.settled(0, 0)
}

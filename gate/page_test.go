package gate_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/gate"
	"paywall/payment"
)

// Every place of the page is filled, once, and its style is the one that the
// policy names.
func TestPage_Filled(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct{ description, heading string }{
		{"", "This resource is paid per request"},
		{"Tom & \"Jerry\"'s <b>", "Tom &amp; &#34;Jerry&#34;&#39;s &lt;b&gt;"},
		{"{{style}} {{price}}", "{{style}} {{price}}"},
	} {
		router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Description: tt.description, Handler: h.api}})
		h.must(err)
		r := request(t, "GET", "/a?x='&y=%22", "")
		r.Header.Set("Accept", "text/html")
		w := do(router, r)
		page := w.Body.String()
		for _, want := range []string{
			"<title>Payment required: 1.00 USD</title>", "<h1>" + tt.heading + "</h1>", `<p class="price">1.00 USD</p>`,
			"<code>GET /a?x=&#39;&amp;y=%22</code>", "a proof of payment by <code>", "/a?x=%27&amp;y=%22'</pre>",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %s", want, page)
			}
		}
		if n := strings.Count(strings.ReplaceAll(page, tt.heading, ""), "{{"); n != 0 {
			t.Errorf("%d places are empty: %s", n, page)
		}
		_, style, _ := strings.Cut(page, "<style>")
		style, _, ok := strings.Cut(style, "</style>")
		sum := sha256.Sum256([]byte(style))
		if !ok || !strings.Contains(w.Header().Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %q does not name the style", w.Header().Get("Content-Security-Policy"))
		}
	}

	head := request(t, "HEAD", "/a", "")
	head.Header.Set("Accept", "text/html")
	if w := do(h.router(map[string]string{"GET /a": "1.00 USD", "HEAD /a": "1.00 USD"}), head); w.Code != 402 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

// The page carries the challenges in its head, and says how they are answered.
func TestPage_Protocols(t *testing.T) {
	for _, tt := range []struct {
		name      string
		protocols []payment.Protocol
		want, not string
	}{
		{"the scheme", nil, "(402, <code>WWW-Authenticate: Payment</code>).", "x402"},
		{"both", []payment.Protocol{paymentRequired{}}, "(402, <code>WWW-Authenticate: Payment</code> or <code>PAYMENT-REQUIRED</code>).", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, speaking(tt.protocols...))
			r := request(t, "GET", "/a", "")
			r.Header.Set("Accept", "text/html,*/*")
			w := do(h.router(map[string]string{"GET /a": "1.00 USD"}), r)
			page := w.Body.String()
			if w.Code != 402 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page, tt.want) || tt.not != "" && strings.Contains(page, tt.not) {
				t.Errorf("%d %v %s", w.Code, w.Header(), page)
			}
			if has := w.Header().Get("Payment-Required") == "eyJ4NDAyVmVyc2lvbiI6Mn0="; has != (tt.protocols != nil) || has != strings.Contains(page, "or any client of x402.") {
				t.Errorf("%v %s", w.Header(), page)
			}
		})
	}
}

// paymentRequired asks in the field of x402.
type paymentRequired struct{ spoken }

func (p paymentRequired) Compile(realm string, offers []payment.Offer) (payment.Dialect, error) {
	d, err := p.spoken.Compile(realm, offers)
	return required{d}, err
}

type required struct{ payment.Dialect }

func (required) Challenge(h http.Header, _ *http.Request, _ payment.Scope, _ time.Time) error {
	h.Set("PAYMENT-REQUIRED", "eyJ4NDAyVmVyc2lvbiI6Mn0=")
	return nil
}

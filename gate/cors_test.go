package gate_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func list(h http.Header, name string) []string {
	var all []string
	for _, line := range h[http.CanonicalHeaderKey(name)] {
		for one := range strings.SplitSeq(line, ",") {
			all = append(all, strings.ToLower(strings.TrimSpace(one)))
		}
	}
	return all
}

// A page of another origin may send and read what payment needs, in both protocols.
func TestCORS_PaymentFields(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"/a": "1.00 USD"})
	r := request(t, "OPTIONS", "/a", "")
	r.Header.Set("Origin", "https://page.example")
	r.Header.Set("Access-Control-Request-Method", "GET")
	r.Header.Set("Access-Control-Request-Headers", "payment-signature, access-control-expose-headers, pay, x-own")
	w := do(router, r)
	allowed := list(w.Header(), "Access-Control-Allow-Headers")
	for _, name := range []string{
		"payment-signature", "x-payment", "sign-in-with-x", "access-control-expose-headers", "authorization", "content-type",
		"x-own", "pay", // part of a name is no name
	} {
		if n := len(slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s != name })); n != 1 {
			t.Errorf("%s is allowed %d times: %v", name, n, allowed)
		}
	}
	r = request(t, "GET", "/a", "")
	r.Header.Set("Origin", "https://page.example")
	w = do(router, r)
	if w.Code != http.StatusPaymentRequired || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	exposed := list(w.Header(), "Access-Control-Expose-Headers")
	for _, name := range []string{"payment-required", "payment-response", "x-payment-response", "www-authenticate", "payment-receipt"} {
		if !slices.Contains(exposed, name) {
			t.Errorf("%s is not exposed: %v", name, exposed)
		}
	}
	w = do(router, h.paid(router, "GET", "/a", ""))
	vary := list(w.Header(), "Vary")
	for _, name := range []string{"authorization", "payment-signature", "x-payment", "sign-in-with-x"} {
		if !slices.Contains(vary, name) {
			t.Errorf("a paid answer does not vary by %s: %v", name, vary)
		}
	}
}

// What is between the payer, a facilitator and us reaches nobody else.
func TestPaymentFieldsStopHere(t *testing.T) {
	for _, price := range []string{"1.00 USD", ""} {
		h := newHouse(t)
		router := h.router(map[string]string{"GET /a": price})
		outbound := []string{"Payment-Response", "X-Payment-Response", "Payment-Required", "Extension-Responses", "Settlement-Overrides", "Paywall-Used"}
		h.api.set(func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range outbound {
				w.Header().Set(name, "forged")
			}
			w.Header().Set("X-Other", "kept")
		})
		r := request(t, "GET", "/a", "")
		if price != "" {
			r = h.paid(router, "GET", "/a", "")
		}
		inbound := []string{"X-Payment", "X-Payment-Response", "X-Payment-Anything", "Payment-Signature", "Payment-Required", "Payment-Response", "Sign-In-With-X", "Settlement-Overrides", "Paywall-Used"}
		for _, name := range inbound {
			r.Header.Set(name, "secret")
		}
		w := do(router, r)
		if w.Code != http.StatusOK || w.Header().Get("X-Other") != "kept" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		for _, name := range outbound {
			if w.Header().Get(name) != "" {
				t.Errorf("price %q: %s came from the handler", price, name)
			}
		}
		for _, name := range inbound {
			if h.api.last.Header.Get(name) != "" {
				t.Errorf("price %q: %s went on to the handler", price, name)
			}
		}
	}
}

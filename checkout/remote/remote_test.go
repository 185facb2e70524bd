package remote_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/checkout/remote"
)

var parcel = checkout.Parcel{
	Currency: "USD", To: checkout.Address{Country: "US", Region: "CA", Postal: "94105"},
	Lines: []checkout.ParcelLine{{Variant: "shirt-m", Quantity: 2, Amount: 3800}},
}

func service(t *testing.T, serve http.HandlerFunc) *remote.Rates {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	r, err := remote.New(remote.Config{Delivery: s.URL + "/delivery", Tax: s.URL + "/tax", Timeout: 300 * time.Millisecond, Header: http.Header{"Authorization": {"Bearer x"}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func TestRates(t *testing.T) {
	r := service(t, func(w http.ResponseWriter, r *http.Request) {
		var asked map[string]any
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Header.Get("Authorization") != "Bearer x" || asked["currency"] != "USD" {
			t.Errorf("%v, %v", asked, err)
		}
		if r.URL.Path == "/tax" {
			if asked["delivery"] != 450.0 {
				t.Errorf("%v", asked)
			}
			answer(w, `{"currency":"USD","tax":308}`)
			return
		}
		answer(w, `{"currency":"USD","options":[{"id":"post","title":"Post","amount":450,"latest":"2026-12-01T00:00:00Z"}]}`)
	})
	options, err := r.Delivery(t.Context(), parcel)
	if err != nil || len(options) != 1 || options[0].Amount != 450 || options[0].Latest.IsZero() {
		t.Errorf("%+v, %v", options, err)
	}
	if tax, err := r.Tax(t.Context(), parcel, 450); err != nil || tax != 308 {
		t.Errorf("%d, %v", tax, err)
	}
}

// Whatever is not exactly an answer makes nothing cheaper.
func TestRates_Faults(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"500":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"HTML":             func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"a redirect":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"empty":            func(w http.ResponseWriter, _ *http.Request) { answer(w, `{}`) },
		"no currency":      func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"tax":1,"options":[]}`) },
		"another currency": func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"currency":"EUR"}`) },
		"a negative amount": func(w http.ResponseWriter, r *http.Request) {
			answer(w, either(r, `{"currency":"USD","tax":-1}`, `[{"id":"a","title":"A","amount":-1}]`))
		},
		"a fraction": func(w http.ResponseWriter, r *http.Request) {
			answer(w, either(r, `{"currency":"USD","tax":1.5}`, `[{"id":"a","title":"A","amount":1.5}]`))
		},
		"too much": func(w http.ResponseWriter, r *http.Request) {
			answer(w, either(r, `{"currency":"USD","tax":9007199254740992}`, `[{"id":"a","title":"A","amount":9007199254740992}]`))
		},
		"twice": func(w http.ResponseWriter, r *http.Request) {
			answer(w, either(r, `{"currency":"USD","tax":1,"tax":2}`, `[{"id":"a","title":"A","amount":1},{"id":"a","title":"B","amount":2}]`))
		},
		"no null": func(w http.ResponseWriter, r *http.Request) {
			answer(w, either(r, `{"currency":"USD","tax":null}`, `[{"id":"","title":"A","amount":1}]`))
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, `{"currency":"`+strings.Repeat("x", 1<<20)+`"}`)
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
			answer(w, `{"currency":"USD","tax":1,"options":[]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := service(t, serve)
			if options, err := r.Delivery(t.Context(), parcel); err == nil {
				t.Errorf("delivery: %+v", options)
			}
			if tax, err := r.Tax(t.Context(), parcel, 0); err == nil {
				t.Errorf("tax: %d", tax)
			}
		})
	}
}

func either(r *http.Request, tax, options string) string {
	if r.URL.Path == "/tax" {
		return tax
	}
	return `{"currency":"USD","options":` + options + `}`
}

func TestRates_LeftToTheCatalog(t *testing.T) {
	r, err := remote.New(remote.Config{Tax: "http://127.0.0.1:1/tax"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delivery(t.Context(), parcel); !errors.Is(err, checkout.ErrNoRate) {
		t.Errorf("%v", err)
	}
	if _, err := remote.New(remote.Config{}); err == nil {
		t.Error("nobody is asked")
	}
}

package gatetest_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/gate/gatetest"
	"paywall/mpp"
	"paywall/payment"
)

func TestPaymentScheme(t *testing.T) {
	for name, separate := range map[string]bool{"Authorization": false, "Payment-Authorization": true} {
		t.Run(name, func(t *testing.T) {
			// wire rewrites the credential's JSON.
			wire := func(from, to string) func(http.Header) {
				return func(h http.Header) {
					raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(h.Get(name), "Payment "))
					if err != nil || !strings.Contains(string(raw), from) {
						t.Fatalf("no %s in %s: %v", from, raw, err)
					}
					h.Set(name, "Payment "+base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), from, to, 1))))
				}
			}
			gatetest.RunProtocol(t, gatetest.Subject{
				New: func(t *testing.T) payment.Protocol {
					t.Helper()
					keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)})
					if err != nil {
						t.Fatal(err)
					}
					p, err := mpp.New(mpp.Config{Keys: keys, SeparateHeader: separate})
					if err != nil {
						t.Fatal(err)
					}
					return p
				},
				TTL:        5 * time.Minute,
				Challenged: func(h http.Header) bool { return len(h["Www-Authenticate"]) > 0 },
				Pay: func(t *testing.T, challenge http.Header, payload []byte, out http.Header) {
					t.Helper()
					cs, err := mpp.ParseChallenges(challenge)
					if err != nil {
						t.Fatal(err)
					}
					c, err := mpp.NewCredential(cs[0], payload)
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Set(out); err != nil {
						t.Fatal(err)
					}
				},
				Receipt: func(h http.Header) error {
					_, err := mpp.ParseReceipt(h.Get("Payment-Receipt"))
					return err
				},
				Spoil: map[string]func(http.Header){
					"another realm":  wire("api.example.com", "api.example.org"),
					"another rail":   wire(`"method":"fake"`, `"method":"other"`),
					"no payload":     wire(`"payload"`, `"x"`),
					"not an object":  wire("{", "["),
					"payload twice":  wire(`"payload"`, `"payload":{"token":"x"},"payload"`),
					"id of nobody":   wire(`"id":"`, `"id":"A`),
					"empty":          func(h http.Header) { h.Set(name, "Payment ") },
					"not base64":     func(h http.Header) { h.Set(name, "Payment ****") },
					"no credential":  func(h http.Header) { h.Set(name, "Payment e30") },
					"trailing bytes": func(h http.Header) { h.Set(name, h.Get(name)+"x") },
				},
			})
		})
	}
}

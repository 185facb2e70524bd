package mpp

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// Lists for browsers (CORS).
const (
	ExposeHeaders = "WWW-Authenticate, Payment-Receipt"
	AllowHeaders  = "Authorization, Accept-Payment, Payment-Authorization, Idempotency-Key"
)

// Digest is the RFC 9530 value of a body, "sha-256=:…:".
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// SetNoStore is the cache rule of every 402.
func SetNoStore(h http.Header) { h.Set("Cache-Control", "no-store") }

// SetPrivate keeps an answer out of shared caches: it appends to the origin's
// directives and never weakens them.
func SetPrivate(h http.Header) {
	for _, line := range h.Values("Cache-Control") {
		for d := range strings.SplitSeq(line, ",") {
			d = strings.TrimSpace(d)
			if strings.EqualFold(d, "private") || strings.EqualFold(d, "no-store") {
				return
			}
		}
	}
	h.Add("Cache-Control", "private")
}

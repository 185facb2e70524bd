package openapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/openapi"
	"paywall/openapi/openapitest"
	"paywall/receipts"
)

// TestHandlers: discovery and keys are served as our own description says.
func TestHandlers(t *testing.T) {
	docs, err := openapi.Build(openapi.Config{PublicURL: "https://api.example.com", Routes: []openapi.Route{priced("GET", "/v1/reports/{id}", "1.00 USD")}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := receipts.GenerateKey(receipts.ES256, time.Unix(1764000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := receipts.NewKeyRing(key)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: ring, Issuer: "https://api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/openapi.json", docs.OpenAPIHandler())
	mux.Handle("/llms.txt", docs.LLMsHandler())
	mux.Handle("/.well-known/jwks.json", keys.JWKS())
	mux.Handle("/.well-known/did.json", keys.DID())
	h := openapitest.Check(t, mux)

	serve := func(method, path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	for path, contentType := range map[string]string{
		"/openapi.json": "application/json", "/llms.txt": "text/plain; charset=utf-8",
		"/.well-known/jwks.json": "application/json", "/.well-known/did.json": "application/json",
	} {
		t.Run(path, func(t *testing.T) {
			get := serve(http.MethodGet, path, "")
			etag := get.Header().Get("ETag")
			if get.Code != http.StatusOK || etag == "" || get.Body.Len() == 0 {
				t.Fatalf("GET: status %d, ETag %q, %d bytes", get.Code, etag, get.Body.Len())
			}
			for name, want := range map[string]string{
				"Content-Type": contentType, "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*",
			} {
				if got := get.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if cc := get.Header().Get("Cache-Control"); !strings.HasPrefix(cc, "public, max-age=300") {
				t.Errorf("Cache-Control is %q", cc)
			}
			if head := serve(http.MethodHead, path, ""); head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") {
				t.Errorf("HEAD: status %d, %d bytes, length %q", head.Code, head.Body.Len(), head.Header().Get("Content-Length"))
			}
			for match, want := range map[string]int{etag: 304, `"other", W/` + etag: 304, "*": 304, `"other"`: 200} {
				if again := serve(http.MethodGet, path, match); again.Code != want {
					t.Errorf("If-None-Match %s: status %d, want %d", match, again.Code, want)
				}
			}
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				if post := serve(method, path, ""); post.Code != http.StatusMethodNotAllowed || post.Header().Get("Allow") != "GET, HEAD" || post.Body.Len() != 0 {
					t.Errorf("%s: status %d, Allow %q", method, post.Code, post.Header().Get("Allow"))
				}
			}
		})
	}
}

package openapitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Priced wraps a handler of priced resources and compares what the gate adds to
// them with the description: that a 402 carries challenges, that a refusal has
// the status of its kind, with challenges or with Retry-After and never both
// wrongly, that a receipt comes only with success and only for its payer, and that
// what the fields of x402 hold in base64 has its form and fits the status.
// Everything else is the API's own and is passed through. It buffers like [Check].
func Priced(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	c, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if err := c.priced(r, rec); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		replay(w, rec)
	})
}

// pricedResponses are the components for answers of the gate, by status.
var pricedResponses = map[int]string{
	http.StatusPaymentRequired:     "PricedUnpaid",
	http.StatusBadRequest:          "PricedMisread",
	http.StatusPreconditionFailed:  "PricedAllowance",
	http.StatusConflict:            "PricedBusy",
	http.StatusServiceUnavailable:  "PricedPending",
	http.StatusInternalServerError: "PricedFailed",
}

func (c *contract) priced(r *http.Request, rec *httptest.ResponseRecorder) error {
	h, slug := rec.Header(), slugOf(rec)
	if err := c.x402(rec); err != nil {
		return err
	}
	switch receipt := h.Get("Payment-Receipt") != "" || h.Get("Paywall-Receipt") != "" || settledBy(h) && rec.Code < 300; {
	case receipt && (rec.Code < 200 || rec.Code > 299):
		return fmt.Errorf("status %d with a receipt", rec.Code)
	case receipt:
		return c.component(r, "PricedPaid", rec)
	case slug != "":
		if err := c.kind(slug, r, rec); err != nil {
			return err
		}
		return c.component(r, pricedResponses[rec.Code], rec)
	case rec.Code == http.StatusPaymentRequired: // as a page, or to HEAD
		if !challenged(h) {
			return errors.New("status 402 with neither WWW-Authenticate nor PAYMENT-REQUIRED")
		}
		return c.component(r, "PricedUnpaid", rec)
	default:
		return nil // the API's own, or nothing to do with payment
	}
}

// slugOf returns the kind that a problem document is of, or nothing.
func slugOf(rec *httptest.ResponseRecorder) string {
	if t, _, err := mime.ParseMediaType(rec.Header().Get("Content-Type")); err != nil || t != "application/problem+json" {
		return ""
	}
	var d struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(rec.Body.Bytes(), &d) != nil {
		return ""
	}
	for _, base := range []string{"https://paymentauth.org/problems/", "urn:paywall:problem:"} {
		if slug, ok := strings.CutPrefix(d.Type, base); ok {
			return slug
		}
	}
	return ""
}

// kind compares an answer with the row of its problem.
func (c *contract) kind(slug string, r *http.Request, rec *httptest.ResponseRecorder) error {
	row, known := c.problems[slug]
	if !known {
		return fmt.Errorf("%s is not in the table of problems", slug)
	}
	asks, later := challenged(rec.Header()), rec.Header().Get("Retry-After") != ""
	switch {
	case rec.Code != row.Status && (!paysByX402(r.Header) || !slices.Contains(row.X402, rec.Code)):
		return fmt.Errorf("%s with status %d, not %d", slug, rec.Code, row.Status)
	case asks != row.Challenges:
		return fmt.Errorf("%s: challenges %t, not %t", slug, asks, row.Challenges)
	case !row.Challenges && !later:
		return fmt.Errorf("%s without Retry-After", slug)
	}
	return nil
}

// challenged reports whether an answer asks for payment, in whatever protocol.
func challenged(h http.Header) bool {
	return h.Get(fieldRequired) != "" || slices.ContainsFunc(h.Values("WWW-Authenticate"), func(line string) bool { return strings.HasPrefix(line, "Payment ") })
}

// component checks an answer against one response of the components.
func (c *contract) component(r *http.Request, name string, rec *httptest.ResponseRecorder) error {
	response := c.doc.Components.Responses[name]
	if response == nil {
		return fmt.Errorf("no response %s among the components", name)
	}
	op := &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(rec.Code, response))}
	in := &openapi3filter.RequestValidationInput{
		Request: r,
		Route:   &routers.Route{Spec: c.doc, Method: r.Method, Operation: op},
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	return c.response(r.Context(), in, rec.Code, rec.Header(), rec.Body.Bytes())
}

package openapitest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/getkin/kin-openapi/openapi3"
)

// Fields of x402, as net/http keeps them.
const (
	fieldRequired   = "Payment-Required"
	fieldResponse   = "Payment-Response"
	fieldResponseV1 = "X-Payment-Response"
)

func paysByX402(h http.Header) bool {
	return h.Get("Payment-Signature") != "" || h.Get("X-Payment") != ""
}

func settledBy(h http.Header) bool { return h.Get(fieldResponse) != "" || h.Get(fieldResponseV1) != "" }

// x402 checks what the fields of an answer hold. A settlement that was made belongs to
// an answer that is no refusal, and a challenge to one that is.
func (c *contract) x402(rec *httptest.ResponseRecorder) error {
	h := rec.Header()
	if h.Get(fieldRequired) != "" {
		if rec.Code < http.StatusBadRequest {
			return fmt.Errorf("status %d with PAYMENT-REQUIRED", rec.Code)
		}
		if _, err := c.held(h, fieldRequired, "X402Required"); err != nil {
			return err
		}
	}
	for _, field := range []string{fieldResponse, fieldResponseV1} {
		if h.Get(field) == "" {
			continue
		}
		settlement, err := c.held(h, field, "X402Settlement")
		if err != nil {
			return err
		}
		if made := settlement["success"] == true; made == challenged(h) || !made && rec.Code < http.StatusBadRequest {
			return fmt.Errorf("status %d with challenges %t and a %s of success %t", rec.Code, challenged(h), field, made)
		}
	}
	return nil
}

// held is the object in a field: padded base64 of the usual alphabet, which is the one
// form that all clients read.
func (c *contract) held(h http.Header, field, schema string) (map[string]any, error) {
	if n := len(h.Values(field)); n != 1 {
		return nil, fmt.Errorf("%d lines of %s", n, field)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(h.Get(field))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if err := c.doc.Components.Schemas[schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return v, nil
}

package openapitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
)

// Check wraps a handler of our own endpoints. Of every request to a described
// path it demands:
//   - an answer whose status, headers and body are described;
//   - no success when the description does not allow the request;
//   - 405 with Allow for a method that is not described.
//
// What differs fails the test and is passed on unchanged. Paths that are not
// described are passed through. The wrapped handler buffers; it is safe for
// concurrent use as long as the test runs.
func Check(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	c, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, others := c.find(r)
		if in == nil && len(others) == 0 {
			h.ServeHTTP(w, r)
			return
		}
		rec, sent, err := record(h, r)
		if err != nil {
			t.Errorf("%s %s: read the request: %v", r.Method, r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if in == nil {
			err = undescribed(rec, others)
		} else {
			err = c.exchange(r.Context(), in, rec, sent)
		}
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		replay(w, rec)
	})
}

// record serves a request with a body that can be read again.
func record(h http.Handler, r *http.Request) (rec *httptest.ResponseRecorder, sent []byte, err error) {
	if r.Body != nil {
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, nil, fmt.Errorf("body: %w", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec, sent, nil
}

func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Result().Header)
	w.WriteHeader(rec.Code)
	// A client that is gone is the client's business.
	_, _ = w.Write(rec.Body.Bytes())
}

func undescribed(rec *httptest.ResponseRecorder, others []string) error {
	if rec.Code != http.StatusMethodNotAllowed {
		return fmt.Errorf("the method is not described, but the answer is %d, not 405", rec.Code)
	}
	allow := strings.FieldsFunc(rec.Header().Get("Allow"), func(r rune) bool { return r == ',' || r == ' ' })
	for _, method := range others {
		if !slices.Contains(allow, method) {
			return fmt.Errorf("405 with Allow %q, which leaves out %s", allow, method)
		}
	}
	return nil
}

func (c *contract) exchange(ctx context.Context, in *openapi3filter.RequestValidationInput, rec *httptest.ResponseRecorder, sent []byte) error {
	again := in.Request.Clone(ctx)
	again.Body = io.NopCloser(bytes.NewReader(sent))
	in.Request = again
	res := rec.Result()
	defer res.Body.Close() //nolint:errcheck // it is in memory
	if err := openapi3filter.ValidateRequest(ctx, in); err != nil && res.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("status %d to a request that is not described: %w", res.StatusCode, err)
	}
	return c.response(ctx, in, res.StatusCode, res.Header, rec.Body.Bytes())
}

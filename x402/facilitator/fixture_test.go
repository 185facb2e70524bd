package facilitator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"paywall/x402/facilitator"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// trip is a transport without a network.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// said is an answer of a facilitator.
func said(status int, body string, fields ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Set(fields[i], fields[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// kinds is an answer to /supported: "scheme network" for each.
func kinds(t testing.TB, list ...string) string {
	t.Helper()
	var out []map[string]any
	for _, one := range list {
		scheme, network, _ := strings.Cut(one, " ")
		out = append(out, map[string]any{"x402Version": 2, "scheme": scheme, "network": network})
	}
	data, err := json.Marshal(map[string]any{"kinds": out, "extensions": []string{}, "signers": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newClient(t testing.TB, c facilitator.Config) *facilitator.Client {
	t.Helper()
	client, err := facilitator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// journal is a log to be searched.
type journal struct{ bytes.Buffer }

func (j *journal) lacks(t testing.TB, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(j.String(), s) {
			t.Errorf("the log has %q: %s", s, j.String())
		}
	}
}

package interop

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A schemaCheck is a processor that holds every request to the published
// schema, as stripe-mock v0.203.0 knows it, and keeps what it said. The answers
// are stripe-mock's fixtures and mean nothing.
//
// Preview parameters are not in the published schema and are the sandbox's
// business: a granted token becomes a card before the request is checked, and
// the token endpoints are answered here.
type schemaCheck struct {
	url, mock string
	// answers, if set, says in stripe-mock's place what comes of a request that
	// was held to the schema; it has the preview endpoints, too.
	answers http.Handler

	mu      sync.Mutex      // guards what follows
	made    map[string]bool // "METHOD /path" with ids replaced, of accepted requests
	refused []string
}

// newSchemaCheck builds stripe-mock from the tools module and runs it until the
// test ends.
func newSchemaCheck(t *testing.T) *schemaCheck {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "stripe-mock")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-modfile=../../tools/go.mod", "-o", bin, "github.com/stripe/stripe-mock")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build stripe-mock: %v\n%s", err, out)
	}
	addr := freeAddrs(t, 1)[0]
	run(t, "http://"+secretKey+":@"+addr+"/v1/customers", bin, "-http-addr", addr)
	s := &schemaCheck{mock: "http://" + addr, made: map[string]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

var ids = regexp.MustCompile(`/(pi|ch|re|dp|du|txn|acct|evt|cus)_[A-Za-z0-9_]+`)

func (s *schemaCheck) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answers != nil && strings.Contains(r.URL.Path, "/shared_payment/") {
		s.answers.ServeHTTP(w, r)
		return
	}
	if strings.Contains(r.URL.Path, "/shared_payment/") {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, sent, err := s.forward(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	call := r.Method + " " + ids.ReplaceAllString(r.URL.Path, "/{id}")
	s.mu.Lock()
	if resp.StatusCode < 300 {
		s.made[call] = true
	} else {
		s.refused = append(s.refused, fmt.Sprintf("%s?%s %s: %d %s", call, r.URL.RawQuery, sent, resp.StatusCode, answer))
	}
	s.mu.Unlock()
	if s.answers != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.answers.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", resp.Header.Get("Request-Id"))
	w.WriteHeader(resp.StatusCode)
	w.Write(answer)
}

// forward sends the request to stripe-mock, without its preview parameters.
func (s *schemaCheck) forward(r *http.Request) (resp *http.Response, sent string, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, "", err
	}
	for name := range maps.Clone(form) {
		if strings.Contains(name, "shared_payment_granted_token") {
			form.Del(name)
			form.Set("payment_method", "pm_card_visa")
		}
	}
	sent = form.Encode()
	req, err := http.NewRequestWithContext(r.Context(), r.Method, s.mock+r.URL.RequestURI(), strings.NewReader(sent))
	if err != nil {
		return nil, "", err
	}
	req.Header = r.Header.Clone()
	resp, err = (&http.Client{}).Do(req)
	return resp, sent, err
}

// report returns what was refused and which calls were accepted, and forgets both.
func (s *schemaCheck) report() (refused, made []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused, made = s.refused, slices.Sorted(maps.Keys(s.made))
	s.refused, s.made = nil, map[string]bool{}
	return refused, made
}

// TestSchemaCheck shows that the check refuses what the processor would.
func TestSchemaCheck(t *testing.T) {
	s := newSchemaCheck(t)
	for _, tt := range []struct{ name, call, body, refused string }{
		{name: "a charge", call: "POST /v1/payment_intents", body: "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa"},
		{name: "a charge of a granted token", call: "POST /v1/payment_intents", body: "amount=100&currency=usd&confirm=true&shared_payment_granted_token=spt_1"},
		{name: "a nested token", call: "POST /v1/payment_intents", body: "amount=100&currency=usd&payment_method_data[shared_payment_granted_token]=spt_1"},
		{name: "a look-up", call: "GET /v1/payment_intents/pi_123"},
		{name: "an unknown parameter", call: "POST /v1/payment_intents", body: "amount=100&currency=usd&receipt=1", refused: "receipt"},
		{name: "a wrong type", call: "POST /v1/payment_intents", body: "amount=many&currency=usd", refused: "amount"},
		{name: "a missing parameter", call: "POST /v1/payment_intents", body: "amount=100", refused: "currency"},
		{name: "an unknown path", call: "POST /v1/payment_intent", body: "amount=100&currency=usd", refused: "Unrecognized"},
		{name: "an unknown query parameter", call: "GET /v1/payment_intents?metadata[x]=y", refused: "metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.call, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+target, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+secretKey)
			if tt.body != "" {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			resp, err := (&http.Client{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			refused, made := s.report()
			if tt.refused == "" && (len(refused) > 0 || len(made) != 1) {
				t.Errorf("refused %q, accepted %q; want one accepted", refused, made)
			}
			if tt.refused != "" && (len(refused) != 1 || !strings.Contains(refused[0], tt.refused)) {
				t.Errorf("refused %q, accepted %q; want %q refused", refused, made, tt.refused)
			}
		})
	}
}

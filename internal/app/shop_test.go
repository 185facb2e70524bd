package app

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"paywall/internal/config"
	"paywall/receipts"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
	"paywall/ucp/ucptest"
)

// TestAgentProfile holds what `paywall shop` says of itself against the schema, and
// shows that shops can use it.
func TestAgentProfile(t *testing.T) {
	k, err := receipts.GenerateKey(receipts.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	data, err := agentProfile(k, "https://agent.example/hook")
	if err != nil {
		t.Fatal(err)
	}
	ucptest.Open(t, protocol.Current).Valid(t, "platform", data)
	p, err := agent.ParseProfile(data)
	if err != nil || len(p.Capabilities) < 5 {
		t.Errorf("%+v, %v", p, err)
	}
	if strings.Contains(string(data), `"d"`) {
		t.Error("the private key is in the profile")
	}
	other, err := receipts.GenerateKey(receipts.EdDSA, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agentProfile(other, ""); err == nil {
		t.Error("a key that shops do not take")
	}
}

// TestIntrospector asks an authorization server that answers as it likes.
func TestIntrospector(t *testing.T) {
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, secret, ok := r.BasicAuth()
		data, err := io.ReadAll(r.Body)
		if !ok || name != "paywall" || secret != "s%2Bcret" || err != nil || string(data) != "token=tok%26en" || r.Method != http.MethodPost {
			t.Errorf("asked %s %s by %q, %v", r.Method, data, name, err)
		}
		w.Header().Set("Location", "https://elsewhere.example/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	now := time.Unix(1_800_000_000, 0)
	i := newIntrospector(config.ShopOAuth{Introspection: server.URL, ClientID: "paywall", ClientSecret: config.NewSecret("s+cret"), ProfileMember: "ucp_profile"}, nil, func() time.Time { return now })
	for name, tt := range map[string]struct {
		status   int
		body     string
		client   string
		profiles string
		want     error
	}{
		"good, of one profile":    {200, `{"active":true,"client_id":"c1","ucp_profile":"https://a.example/p"}`, "c1", "https://a.example/p", nil},
		"good, of two":            {200, `{"active":true,"client_id":"c1","exp":1800000001,"ucp_profile":["https://a.example/p","https://b.example/p"]}`, "c1", "https://a.example/p https://b.example/p", nil},
		"good, of none":           {200, `{"active":true,"client_id":"c1"}`, "c1", "", nil},
		"good, of something else": {200, `{"active":true,"client_id":"c1","ucp_profile":{"x":1}}`, "c1", "", nil},
		"not good":                {200, `{"active":false,"client_id":"c1"}`, "", "", agent.ErrToken},
		"of nobody":               {200, `{"active":true}`, "", "", agent.ErrToken},
		"over":                    {200, `{"active":true,"client_id":"c1","exp":1800000000}`, "", "", agent.ErrToken},
		"not ours to ask":         {401, `{}`, "", "", errIntrospection},
		"led elsewhere":           {302, `{"active":true,"client_id":"c1"}`, "", "", errIntrospection},
		"down":                    {503, `{"active":true,"client_id":"c1"}`, "", "", errIntrospection},
		"no JSON":                 {200, `<html>`, "", "", errIntrospection},
		"a list":                  {200, `[]`, "", "", errIntrospection},
		"too long":                {200, `{"active":true,"client_id":"c1","x":"` + strings.Repeat("x", maxIntrospection) + `"}`, "", "", errIntrospection},
	} {
		status, body = tt.status, tt.body
		client, profiles, err := i.Verify(t.Context(), "tok&en")
		if client != tt.client || strings.Join(profiles, " ") != tt.profiles || !errors.Is(err, tt.want) {
			t.Errorf("%s: %q, %q, %v", name, client, profiles, err)
		}
	}
	server.Close()
	if _, _, err := i.Verify(t.Context(), "tok&en"); !errors.Is(err, errIntrospection) || strings.Contains(err.Error(), "tok") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestBuckets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b, err := newBuckets(2, 3, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	takes := func(addr string, want int) {
		t.Helper()
		got := 0
		for range 10 {
			if b.take(netip.MustParseAddr(addr)) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s took %d, want %d", addr, got, want)
		}
	}
	takes("192.0.2.1", 3)
	takes("192.0.2.2", 3)
	takes("2001:db8::1", 3)
	takes("2001:db8::2", 0) // one network
	now = now.Add(time.Second)
	takes("192.0.2.1", 2)
	now = now.Add(time.Hour)
	takes("192.0.2.1", 3)
	now = now.Add(-2 * time.Hour) // a clock that is set back gives nothing and takes nothing
	takes("192.0.2.1", 0)
	now = now.Add(time.Second)
	takes("192.0.2.1", 2)
}

package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/internal/fetch"
	"paywall/internal/httpsig"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
)

const where = "https://agent.example/p"

func TestParseHeader(t *testing.T) {
	for field, want := range map[string]string{
		`profile="https://a.example/p"`:                                           "https://a.example/p",
		`profile="https://a.example/p"; version="2099-01-01"`:                     "https://a.example/p",
		`x=1, profile="https://a.example/p";a;b=2 , other="a,b;c\"d", l=(1 2), f`: "https://a.example/p",
		`profile="a\\b"`: `a\b`,
	} {
		if got, fault := agent.ParseHeader([]string{field}); fault != nil || got != want {
			t.Errorf("%s: %q, %v", field, got, fault)
		}
	}
	for _, fields := range [][]string{
		nil,
		{""},
		{"profile"},
		{"profile=x"},
		{`profile="x`},
		{`profile=""`},
		{`profile="a", profile="b"`},
		{`profile="a"`, `profile="b"`},
		{`Profile="a"`},
		{`profile="a" "b"`},
		{`profile="a",`},
		{"profile=\"a\x00\""},
		{`=a`},
		{strings.Repeat(`a=1, `, 2000) + `profile="a"`},
	} {
		if got, fault := agent.ParseHeader(fields); fault == nil || fault.Code != protocol.InvalidProfileURL || fault.Status() != http.StatusBadRequest {
			t.Errorf("%q: %q, %v", fields, got, fault)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(`profile="https://a.example/p"; v=1`)
	f.Add(`a=(1 2), profile="x"`)
	f.Fuzz(func(t *testing.T, field string) {
		got, fault := agent.ParseHeader([]string{field})
		if (fault == nil) != (got != "") || fault == nil && !strings.Contains(field, "profile=") {
			t.Errorf("%q: %q, %v", field, got, fault)
		}
	})
}

func profileOf(v string, more string) []byte {
	return []byte(`{"ucp":{"version":"` + v + `","services":{},"capabilities":{"dev.ucp.shopping.checkout":[{"version":"` + v + `"}],"dev.ucp.shopping.discount":[{"version":"` + v + `"}],` +
		`"dev.ucp.shopping.order":[{"version":"` + v + `","config":{"webhook_url":"https://agent.example/hook"}}]}}` + more + `}`)
}

func TestParseProfile(t *testing.T) {
	p, err := agent.ParseProfile(profileOf("2026-08-25", `,"more":[]`))
	if err != nil || p.Version != protocol.August2026 || p.Webhook != "https://agent.example/hook" || len(p.Capabilities) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
	for name, data := range map[string]string{
		"not JSON": `<html>`, "bare": `{"version":"2026-08-25"}`, "no version": `{"ucp":{}}`, "a name twice": `{"ucp":{"version":"2026-08-25","version":"2026-08-25"}}`,
		"a private key": `{"ucp":{"version":"2026-08-25"},"keys":[{"kid":"a","kty":"EC","crv":"P-256","x":"","y":"","d":"x"}]}`, "deep": `{"ucp":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}`,
		"huge": `{"ucp":{"version":"2026-08-25"},"x":"` + strings.Repeat("x", 300<<10) + `"}`,
	} {
		if p, err := agent.ParseProfile([]byte(data)); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	// Entries that do not hold are left out, one by one.
	mixed, err := agent.ParseProfile([]byte(`{"ucp":{"version":"2026-08-25","capabilities":{"dev.ucp.shopping.checkout":[{"version":"2026-04-08"}],"dev.ucp.shopping.cart":[{"version":"2026-08-25","schema":"https://evil.example/x"}],` +
		`"com.example.x":[{"version":"2026-01-01","schema":"https://example.org/s"},{"version":"2026-01-02","schema":"https://example.com/s"}],"Bad Name":[{"version":"2026-08-25"}],"com.example.y":[7]}}}`))
	if err != nil || len(mixed.Capabilities) != 1 || mixed.Capabilities["com.example.x"][0].Version != "2026-01-02" {
		t.Errorf("%+v, %v", mixed, err)
	}
}

func TestBound(t *testing.T) {
	for url, want := range map[string]bool{
		"https://ucp.dev/s": true, "https://shopping.ucp.dev/s": true, "https://dev/s": false, "http://ucp.dev/s": false, "https://ucp.dev.evil.example/s": false, "https://u@ucp.dev/s": false,
		"https://127.0.0.1/s": false, "https://cp.dev/s": false, "https://shop.ucp.dev/s": false, "": false,
	} {
		if got := agent.Bound("dev.ucp.shopping.checkout", url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add(profileOf("2026-08-25", ""))
	f.Add(profileOf("2026-04-08", `,"signing_keys":[{"kid":"a"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := agent.ParseProfile(data)
		if err != nil {
			return
		}
		for name, entries := range p.Capabilities {
			for _, e := range entries {
				if strings.HasPrefix(name, "dev.ucp.") && p.Version >= protocol.August2026 && e.Version != string(p.Version) {
					t.Errorf("%s of %s in %s", name, e.Version, p.Version)
				}
			}
		}
	})
}

func TestNegotiate(t *testing.T) {
	v := string(protocol.August2026)
	offer := agent.Offer{protocol.August2026: {
		"checkout": {Version: v}, "cart": {Version: v}, "discount": {Version: v, Extends: []string{"checkout", "cart"}}, "gift": {Version: v, Extends: []string{"discount"}},
		"new":  {Version: v, Extends: []string{"checkout"}, Requires: agent.Requires{Protocol: agent.Range{Min: "2027-01-01"}}},
		"with": {Version: v, Requires: agent.Requires{Capabilities: map[string]agent.Range{"cart": {}}}},
	}}
	has := func(names ...string) agent.Profile {
		p := agent.Profile{Version: protocol.August2026, Capabilities: map[string][]agent.Entry{}}
		for _, name := range names {
			p.Capabilities[name] = []agent.Entry{{Version: "2026-01-11"}, {Version: v}}
		}
		return p
	}
	for name, tt := range map[string]struct {
		profile agent.Profile
		want    string
	}{
		"all":            {has("checkout", "cart", "discount", "gift", "new", "with", "foreign"), "cart checkout discount gift with"},
		"one parent":     {has("cart", "discount"), "cart discount"},
		"orphans":        {has("discount", "gift"), ""},
		"what it wants":  {has("checkout", "with"), "checkout"},
		"other versions": {agent.Profile{Version: protocol.August2026, Capabilities: map[string][]agent.Entry{"checkout": {{Version: "2026-01-11"}}}}, ""},
	} {
		_, got, fault := agent.Negotiate(offer, tt.profile)
		var names []string
		for _, n := range []string{"cart", "checkout", "discount", "foreign", "gift", "new", "with"} {
			if _, ok := got[n]; ok {
				names = append(names, n)
			}
		}
		if fault != nil || strings.Join(names, " ") != tt.want {
			t.Errorf("%s: %v, %v", name, got, fault)
		}
	}
	if _, _, fault := agent.Negotiate(offer, agent.Profile{Version: "2099-01-01"}); fault == nil || fault.Status() != http.StatusUnprocessableEntity {
		t.Errorf("%v", fault)
	}
}

// origin answers for a profile.
type origin struct {
	mu     sync.Mutex
	calls  int
	answer func(n int) (fetch.Response, error)
	hold   chan struct{}
}

func (o *origin) Get(context.Context, string, http.Header) (fetch.Response, error) {
	o.mu.Lock()
	o.calls++
	n := o.calls
	o.mu.Unlock()
	if o.hold != nil {
		<-o.hold
	}
	return o.answer(n)
}

func good(header http.Header) func(int) (fetch.Response, error) {
	return func(int) (fetch.Response, error) {
		return fetch.Response{Status: 200, Header: header, Body: profileOf("2026-08-25", "")}, nil
	}
}

func directory(t *testing.T, o agent.Getter, change ...func(*agent.DirectoryConfig)) *agent.Directory {
	t.Helper()
	cfg := agent.DirectoryConfig{Client: o}
	for _, f := range change {
		f(&cfg)
	}
	d, err := agent.NewDirectory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectory_Lives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for cache, life := range map[string]time.Duration{"": time.Minute, "max-age=1": time.Minute, "public, max-age=600": 10 * time.Minute, "max-age=999999": time.Hour, "no-store": time.Minute} {
			o := &origin{answer: good(http.Header{"Cache-Control": {cache}})}
			d := directory(t, o)
			for _, step := range []struct {
				wait  time.Duration
				calls int
			}{{0, 1}, {life - time.Second, 1}, {2 * time.Second, 2}} {
				time.Sleep(step.wait)
				if _, fault := d.Lookup(t.Context(), where); fault != nil || o.calls != step.calls {
					t.Errorf("%q after %s: %d calls, %v", cache, step.wait, o.calls, fault)
				}
			}
		}
	})
}

func TestDirectory_Faults(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(int) (fetch.Response, error)
		code   string
	}{
		"F122: no address": {func(int) (fetch.Response, error) { return fetch.Response{}, fmt.Errorf("x: %w", fetch.ErrAddress) }, protocol.ProfileUnreachable},
		"F122: no URL":     {func(int) (fetch.Response, error) { return fetch.Response{}, fmt.Errorf("x: %w", fetch.ErrURL) }, protocol.InvalidProfileURL},
		"F124: a redirect": {func(int) (fetch.Response, error) { return fetch.Response{Status: 302}, fetch.ErrRedirect }, protocol.ProfileUnreachable},
		"F125: huge":       {func(int) (fetch.Response, error) { return fetch.Response{}, fetch.ErrTooLarge }, protocol.ProfileMalformed},
		"F125: compressed": {func(int) (fetch.Response, error) { return fetch.Response{}, fetch.ErrEncoding }, protocol.ProfileMalformed},
		"F125: 500":        {func(int) (fetch.Response, error) { return fetch.Response{Status: 500}, nil }, protocol.ProfileUnreachable},
		"F125: not JSON":   {func(int) (fetch.Response, error) { return fetch.Response{Status: 200, Body: []byte("<html>")}, nil }, protocol.ProfileMalformed},
		"F125: timeout":    {func(int) (fetch.Response, error) { return fetch.Response{}, context.DeadlineExceeded }, protocol.ProfileUnreachable},
		"too many at once": {func(int) (fetch.Response, error) { return fetch.Response{}, fetch.ErrBusy }, protocol.Unavailable},
	} {
		o := &origin{answer: tt.answer}
		d := directory(t, o)
		_, fault := d.Lookup(t.Context(), where)
		if fault == nil || fault.Code != tt.code || strings.Contains(fault.Content, "x:") {
			t.Errorf("%s: %v", name, fault)
		}
		if _, again := d.Lookup(t.Context(), where); again == nil || tt.code != protocol.Unavailable && o.calls != 1 {
			t.Errorf("%s: asked %d times, %v", name, o.calls, again)
		}
	}
}

func TestDirectory_OneFlightAndABudget(t *testing.T) {
	o := &origin{answer: good(nil), hold: make(chan struct{})}
	d := directory(t, o)
	var wg sync.WaitGroup
	var ok atomic.Int64
	for range 20 {
		wg.Go(func() {
			if _, fault := d.Lookup(t.Context(), where); fault == nil {
				ok.Add(1)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	close(o.hold)
	wg.Wait()
	if o.calls != 1 || ok.Load() != 20 {
		t.Errorf("%d calls for %d", o.calls, ok.Load())
	}
	few := directory(t, &origin{answer: good(nil)}, func(c *agent.DirectoryConfig) { c.PerSecond = 1 })
	refused := 0
	for i := range 20 {
		if _, fault := few.Lookup(t.Context(), fmt.Sprintf("https://agent.example/%d", i)); fault != nil {
			refused++
			if fault.Status() != http.StatusServiceUnavailable || fault.RetryAfter == 0 {
				t.Errorf("%v", fault)
			}
		}
	}
	if refused != 10 {
		t.Errorf("%d of 20 were refused", refused)
	}
}

func TestDirectory_StaleIsBetterThanNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{answer: func(n int) (fetch.Response, error) {
			if n > 1 {
				return fetch.Response{Status: 500}, nil
			}
			return good(nil)(n)
		}}
		d := directory(t, o)
		for _, wait := range []time.Duration{0, 2 * time.Minute} {
			time.Sleep(wait)
			if _, fault := d.Lookup(t.Context(), where); fault != nil {
				t.Errorf("after %s: %v", wait, fault)
			}
		}
		time.Sleep(time.Hour)
		if _, fault := d.Lookup(t.Context(), where); fault == nil {
			t.Error("an hour later it is still believed")
		}
	})
}

func TestDirectory_Pinned(t *testing.T) {
	o := &origin{answer: good(nil)}
	d := directory(t, o, func(c *agent.DirectoryConfig) {
		c.Pinned, c.OnlyPinned = map[string][]byte{where: profileOf("2026-04-08", "")}, true
	})
	if p, fault := d.Lookup(t.Context(), where); fault != nil || p.Version != protocol.April2026 || o.calls != 0 {
		t.Errorf("%+v, %v", p, fault)
	}
	if _, fault := d.Lookup(t.Context(), "https://other.example/p"); fault == nil || fault.Status() != http.StatusForbidden {
		t.Errorf("%v", fault)
	}
	if _, err := agent.NewDirectory(agent.DirectoryConfig{Pinned: map[string][]byte{where: []byte("x")}}); err == nil {
		t.Error("a pinned profile that is none was taken")
	}
}

// platform is an agent with a key.
type platform struct {
	signer httpsig.Signer
	keys   string
}

func newPlatform(t *testing.T, id string) platform {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := httpsig.Public(id, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal([]httpsig.JWK{jwk})
	if err != nil {
		t.Fatal(err)
	}
	return platform{httpsig.Signer{KeyID: id, Key: key}, `,"keys":` + string(data)}
}

func request(t *testing.T, sign *httpsig.Signer) agent.Request {
	t.Helper()
	const body = "{}"
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/ucp/v1/carts", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("UCP-Agent", `profile="`+where+`"`)
	if sign != nil {
		if err := sign.SignRequest(r, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	return agent.Request{Parts: agent.PartsOf(r), Body: []byte(body), Profile: where}
}

type tokens struct{ err error }

func (k tokens) Verify(_ context.Context, token string) (string, []string, error) {
	if token != "good" {
		return "", nil, agent.ErrToken
	}
	return "client-1", []string{where}, k.err
}

func gate(t *testing.T, o agent.Getter, change ...func(*agent.Config)) *agent.Gate {
	t.Helper()
	cfg := agent.Config{
		Directory: directory(t, o), Offer: agent.Offer{protocol.August2026: {protocol.Checkout: {Version: "2026-08-25"}}},
		Keys:   []agent.APIKey{{Name: "one", Hash: sha256.Sum256([]byte("secret")), Profiles: []string{where}}, {Name: "two", Hash: sha256.Sum256([]byte("other")), Profiles: []string{"https://other.example/p"}}},
		Tokens: tokens{}, Issuer: "https://id.example",
	}
	for _, f := range change {
		f(&cfg)
	}
	g, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestG136_WhoMayNameAProfile(t *testing.T) {
	g := gate(t, &origin{answer: good(nil)})
	for name, tt := range map[string]struct {
		header    [2]string
		principal string
		code      string
	}{
		"nobody":         {[2]string{}, "profile:" + where, ""},
		"its key":        {[2]string{"X-Api-Key", "secret"}, "key:one", ""},
		"as a bearer":    {[2]string{"Authorization", "Bearer secret"}, "key:one", ""},
		"its token":      {[2]string{"Authorization", "bearer good"}, "client:client-1", ""},
		"another's key":  {[2]string{"X-Api-Key", "other"}, "", protocol.Forbidden},
		"no key":         {[2]string{"X-Api-Key", "wrong"}, "", protocol.Unauthorized},
		"no token":       {[2]string{"Authorization", "Bearer bad"}, "", protocol.Unauthorized},
		"something else": {[2]string{"Authorization", "Basic eA=="}, "", protocol.Unauthorized},
	} {
		r := request(t, nil)
		if tt.header[0] != "" {
			r.Parts.Header.Set(tt.header[0], tt.header[1])
		}
		peer, fault := g.Identify(t.Context(), r)
		if tt.code == "" && (fault != nil || peer.Principal != tt.principal || peer.Authenticated != (tt.header[0] != "") || peer.Webhook == "") || tt.code != "" && (fault == nil || fault.Code != tt.code) {
			t.Errorf("%s: %+v, %v", name, peer, fault)
		}
	}
	away := gate(t, &origin{answer: good(nil)}, func(c *agent.Config) { c.Tokens = tokens{errors.New("away")} })
	r := request(t, nil)
	r.Parts.Header.Set("Authorization", "Bearer good")
	if _, fault := away.Identify(t.Context(), r); fault == nil || fault.Status() != http.StatusServiceUnavailable {
		t.Errorf("%v", fault)
	}
	if g.Challenge() != `Bearer realm="https://id.example"` {
		t.Error(g.Challenge())
	}
}

func TestG135_Signatures(t *testing.T) {
	me, other := newPlatform(t, "k1"), newPlatform(t, "k1")
	o := &origin{answer: func(int) (fetch.Response, error) {
		return fetch.Response{Status: 200, Body: profileOf("2026-08-25", me.keys)}, nil
	}}
	g := gate(t, o)
	must := gate(t, o, func(c *agent.Config) { c.Signature = true })
	peer, fault := must.Identify(t.Context(), request(t, &me.signer))
	if fault != nil || !peer.Authenticated || peer.Principal != "profile:"+where {
		t.Errorf("%+v, %v", peer, fault)
	}
	changed := request(t, &me.signer)
	changed.Body = []byte("{} ")
	unknown := me.signer
	unknown.KeyID = "k9"
	for name, tt := range map[string]struct {
		gate *agent.Gate
		r    agent.Request
		code string
	}{
		"none where one is wanted": {must, request(t, nil), protocol.SignatureMissing},
		"another's key":            {g, request(t, &other.signer), protocol.SignatureInvalid},
		"another body":             {g, changed, protocol.DigestMismatch},
		"an unknown key":           {g, request(t, &unknown), protocol.KeyNotFound},
	} {
		if peer, fault := tt.gate.Identify(t.Context(), tt.r); fault == nil || fault.Code != tt.code {
			t.Errorf("%s: %+v, %v", name, peer, fault)
		}
	}
	asked := gate(t, o, func(c *agent.Config) { c.Authenticated = true })
	if _, fault := asked.Identify(t.Context(), request(t, nil)); fault == nil || fault.Code != protocol.Unauthorized {
		t.Errorf("%v", fault)
	}
}

// A key that is new in the profile is found, and asking for unknown ones costs little.
func TestG134_RotatedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newPlatform(t, "k1"), newPlatform(t, "k2")
		o := &origin{answer: func(n int) (fetch.Response, error) {
			if n == 1 {
				return fetch.Response{Status: 200, Header: http.Header{"Cache-Control": {"max-age=3600"}}, Body: profileOf("2026-08-25", before.keys)}, nil
			}
			return fetch.Response{Status: 200, Body: profileOf("2026-08-25", after.keys)}, nil
		}}
		g := gate(t, o)
		if _, fault := g.Identify(t.Context(), request(t, &before.signer)); fault != nil {
			t.Fatal(fault)
		}
		for range 5 { // too soon to ask again
			if _, fault := g.Identify(t.Context(), request(t, &after.signer)); fault == nil || fault.Code != protocol.KeyNotFound {
				t.Errorf("%v", fault)
			}
		}
		time.Sleep(2 * time.Minute)
		if _, fault := g.Identify(t.Context(), request(t, &after.signer)); fault != nil {
			t.Error(fault)
		}
		if o.calls != 2 {
			t.Errorf("%d calls", o.calls)
		}
	})
}

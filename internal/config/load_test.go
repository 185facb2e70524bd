package config_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/internal/config"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// example is the configuration that the reference shows.
func example(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func exampleEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"STRIPE_KEY": environment["STRIPE_KEY"], "STRIPE_WEBHOOK_SECRET": environment["WEBHOOK"], "API_KEY": environment["UPSTREAM_KEY"],
		"PRICING_KEY": environment["UPSTREAM_KEY"],
	}[name]
	return v, ok
}

func TestExample(t *testing.T) {
	cfg, err := config.Parse([]byte(example(t)), folder(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range cfg.Warnings {
		t.Errorf("the example has a warning: %s", w)
	}
	if cfg.Realm != "api.example.com" || cfg.PublicURL != "https://api.example.com" {
		t.Errorf("realm %q, origin %q", cfg.Realm, cfg.PublicURL)
	}
}

func TestDefaults(t *testing.T) {
	dir := folder(t)
	cfg, err := config.Parse([]byte(served), dir, lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Limits{
		ChallengesPerSecond: 50, Burst: 100, FailedPerMinute: 30, Connections: 4096, ConnectionsPerClient: 64,
		InFlight: 32, InFlightPerClient: 8, Queue: 256, Dispatches: 3, Body: 1 << 20, HeaderBytes: 32 << 10, Credential: 8 << 10,
		Answer: 1 << 20, Answers: 32 << 20, AnswerFor: 15 * time.Minute,
		ReadHeader: 5 * time.Second, ReadBody: time.Minute, WriteStall: 30 * time.Second, Idle: time.Minute,
	}
	if cfg.Limits != want {
		t.Errorf("Limits = %+v, want %+v", cfg.Limits, want)
	}
	if cfg.Listen != "127.0.0.1:4020" || cfg.Admin.Listen != "127.0.0.1:4021" || cfg.PublicURL != "http://127.0.0.1:4020" || cfg.Realm != "127.0.0.1" {
		t.Errorf("listen %q, admin %q, public %q, realm %q", cfg.Listen, cfg.Admin.Listen, cfg.PublicURL, cfg.Realm)
	}
	if cfg.Store != (config.Store{Engine: "sqlite", Path: filepath.Join(dir, "paywall.db")}) {
		t.Errorf("Store = %+v", cfg.Store)
	}
	if cfg.Challenge.TTL != 5*time.Minute || cfg.ReceiptTTL != 10*time.Minute || cfg.Settlement != (config.Settlement{Patience: 30 * time.Second, Attempt: 20 * time.Second}) {
		t.Errorf("challenge %v, receipts %v, settlement %v", cfg.Challenge, cfg.ReceiptTTL, cfg.Settlement)
	}
	if s := cfg.Methods.Stripe; !slices.Equal(s.PaymentMethodTypes, []string{"card", "link"}) || s.SPTParam != "nested" || s.Live {
		t.Errorf("Stripe = %+v", s)
	}
	if cfg.Upstreams["api"].Timeout != 30*time.Second || cfg.Routes[0].Window != 24*time.Hour || len(cfg.Warnings) != 0 {
		t.Errorf("upstream %v, window %v, warnings %v", cfg.Upstreams["api"].Timeout, cfg.Routes[0].Window, cfg.Warnings)
	}
}

func TestLines(t *testing.T) {
	cfg, err := config.Parse([]byte(served), folder(t), lookup)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"routes": 5, "routes[0]": 5, "routes[0].price": 5, "routes[0].pass.uses": 5, "routes[7]": 5, "methods.stripe.key": 3, "log.level": 0, "": 0,
	} {
		if got := cfg.LineOf(path); got != want {
			t.Errorf("LineOf(%q) = %d, want %d", path, got, want)
		}
	}
	if got, want := cfg.Problem("routes[0].price", "%s is below the least", "0.10 USD").String(), "line 5: routes[0].price: 0.10 USD is below the least"; got != want {
		t.Errorf("Problem = %q, want %q", got, want)
	}
}

// TestA033_KeyForms reads one key in every form that is allowed.
func TestA033_KeyForms(t *testing.T) {
	raw := unhex(t, drawn)
	raw[31] = '\n' // the last byte of raw bytes is not a line break
	for name, text := range map[string]string{
		"hexadecimal":       hex.EncodeToString(raw),
		"upper case":        strings.ToUpper(hex.EncodeToString(raw)),
		"with a line break": hex.EncodeToString(raw) + "\r\n",
		"base64":            base64.StdEncoding.EncodeToString(raw) + "\n",
		"base64url":         base64.RawURLEncoding.EncodeToString(raw),
		"raw":               string(raw),
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			if err := os.WriteFile(filepath.Join(dir, "challenge.key"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse([]byte(served), dir, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Keys.Challenge.Reveal(); got != string(raw) {
				t.Errorf("key = %x, want %x", got, raw)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "paywall.yaml")
	if _, err := config.Load(file, lookup); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: err = %v, want ErrNotExist", err)
	}
	if _, err := config.Load(dir, lookup); err == nil {
		t.Error("a folder was loaded")
	}
	if err := os.WriteFile(file, []byte(served+"#"+strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file, lookup); err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("a large file: err = %v", err)
	}
	for _, data := range []string{"listen: \xff", "\xfe\xffl\x00i\x00", "listen: a\x00b"} {
		if _, err := config.Parse([]byte(data), dir, lookup); err == nil {
			t.Errorf("%q was read", data)
		}
	}
}

func TestOthersCanReadSecrets(t *testing.T) {
	dir := folder(t)
	if err := os.Chmod(filepath.Join(dir, "challenge.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse([]byte(served), dir, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0].String(), "keys.challenge: others on this machine can read challenge.key") {
		t.Errorf("Warnings = %v", cfg.Warnings)
	}
}

func TestManyRoutes(t *testing.T) {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range 1001 {
		fmt.Fprintf(&b, "- {match: GET /r%d, upstream: api, free: true}\n", i)
	}
	yaml := served[:strings.Index(served, "routes:")] + b.String()
	if _, err := config.Parse([]byte(yaml), folder(t), lookup); err == nil || !strings.Contains(err.Error(), "there are 1001; at most 1000") {
		t.Errorf("err = %v", err)
	}
	last := strings.LastIndex(strings.TrimSuffix(yaml, "\n"), "\n")
	if _, err := config.Parse([]byte(yaml[:last]), folder(t), lookup); err != nil {
		t.Errorf("1000 routes: %v", err)
	}
}

// TestErrorsAreAllAndSorted shows that one look finds everything.
func TestErrorsAreAllAndSorted(t *testing.T) {
	_, err := config.Parse([]byte("listen: x\nadmin: {listen: y}\nunknown: 1\nroutes: [{match: GET /a}]\n"), folder(t), lookup)
	list, ok := errors.AsType[config.Errors](err)
	if !ok || len(list) < 6 {
		t.Fatalf("err = %v", err)
	}
	if !slices.IsSortedFunc(list, func(a, b config.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of lines:\n%v", err)
	}
}

func TestIPv6Authorities(t *testing.T) {
	yaml := "listen: '[::1]:4020'\nhosts: ['::1', '[fe80::1]', api.example.com.]\n" + served
	cfg, err := config.Parse([]byte(yaml), folder(t), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PublicURL != "http://[::1]:4020" || cfg.Realm != "[::1]" || !slices.Equal(cfg.Hosts, []string{"[::1]", "[fe80::1]", "api.example.com"}) {
		t.Errorf("public %q, realm %q, hosts %q", cfg.PublicURL, cfg.Realm, cfg.Hosts)
	}
}

package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"paywall/internal/config"
)

// FuzzParse: whatever is accepted has routes that are each free or priced by one
// rule, never both and never neither; whatever is refused says so on one line
// per problem, without a control character and without a secret.
func FuzzParse(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		for _, file := range readArchive(f, path).files {
			if strings.HasSuffix(file.name, ".yaml") {
				f.Add(file.data)
			}
		}
	}
	f.Add([]byte(example(f)))
	dir := folder(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse(data, dir, lookup)
		if err != nil {
			list, ok := errors.AsType[config.Errors](err)
			if !ok || len(list) == 0 {
				t.Fatalf("err = %v, want Errors", err)
			}
			checkProblems(t, data, list)
			return
		}
		checkProblems(t, data, cfg.Warnings)
		ids := map[string]bool{}
		for _, r := range cfg.Routes {
			rules := 0
			for _, there := range []bool{r.Price.Valid(), r.Tiers != nil, r.Remote != nil} {
				if there {
					rules++
				}
			}
			if r.Free && rules != 0 || !r.Free && rules != 1 {
				t.Errorf("route %s: free %t, %d rules", r.ID, r.Free, rules)
			}
			if r.Remote == nil && !r.Free && len(r.Prices) == 0 {
				t.Errorf("route %s has no known price", r.ID)
			}
			for _, p := range r.Prices {
				if !p.Amount.IsPositive() {
					t.Errorf("route %s costs %s", r.ID, p.Amount)
				}
			}
			if _, known := cfg.Upstreams[r.Upstream]; !known || ids[r.ID] || r.ID == "" || !r.Free && r.Window <= 0 {
				t.Errorf("route %q to %q, window %v", r.ID, r.Upstream, r.Window)
			}
			ids[r.ID] = true
		}
		if len(cfg.Keys.Challenge.Reveal()) < 32 || cfg.Realm == "" || strings.ContainsAny(cfg.Realm, "|\" ") {
			t.Errorf("key of %d bytes, realm %q", len(cfg.Keys.Challenge.Reveal()), cfg.Realm)
		}
	})
}

func checkProblems(t *testing.T, data []byte, list []config.Problem) {
	t.Helper()
	most := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
	for _, p := range list {
		line := p.String()
		if strings.ContainsFunc(line, unicode.IsControl) || p.Message == "" || p.Line < 0 || p.Line > most+strings.Count(string(data), "\u2028")+strings.Count(string(data), "\u2029")+strings.Count(string(data), "\u0085") {
			t.Errorf("problem %q", line)
		}
		for name, secret := range environment {
			if len(secret) > 8 && strings.Contains(line, secret) && !strings.Contains(string(data), secret) {
				t.Errorf("the value of %s is in %q", name, line)
			}
		}
	}
}

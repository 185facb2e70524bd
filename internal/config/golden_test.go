package config_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/configuration.md")

// drawn is a secret that passes for random.
const drawn = "9f2c71e4b8d05a3649c1f7e2806d5b93a4e87c10d9f36b25c8417ae0935bd62f"

// folder has the files that every configuration of the tests refers to.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"challenge.key": drawn + "\n",
		"short.key":     drawn[:40],
		"receipts.pem":  "-----BEGIN PRIVATE KEY-----\n",
		"empty":         "\n",
		"openapi.json":  "{}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var environment = map[string]string{
	"STRIPE_KEY":    "sk_test_51Nabcdefghijk",
	"STRIPE_LIVE":   "rk_live_51Nabcdefghijk",
	"WEBHOOK":       "whsec_0a1b2c3d4e5f6a7b",
	"UPSTREAM_KEY":  "hunter2-hunter2",
	"EMPTY":         " ",
	"SEAL":          "Jk3vQ0m8yT1xWc5RfZ7uLh2pNb9eGd4aSoViMqXt6Kw=",
	"LINES":         "one\ntwo",
	"ALL_THE_SAME":  strings.Repeat("a", 64),
	"FROM_THE_DOCS": "paywall-lab-secret-key-0123456789abcdef",
	"OTHER_VECTOR":  "test-vector-secret-minimum-32-byte-secret",
	"ASCENDING":     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
}

func lookup(name string) (string, bool) {
	v, ok := environment[name]
	return v, ok
}

// TestGolden reads every name.yaml of every archive and compares what is said of
// it with name.want. The rest of the archive are files beside it.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range archives {
		a := readArchive(t, path)
		changed := false
		for i, f := range a.files {
			name, ok := strings.CutSuffix(f.name, ".yaml")
			if !ok {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+name, func(t *testing.T) {
				got := said(t, f.data)
				for _, secret := range environment {
					if len(secret) > 1 && strings.Contains(got, secret) {
						t.Errorf("a secret is quoted: %s", got)
					}
				}
				if i+1 == len(a.files) || a.files[i+1].name != name+".want" {
					t.Fatalf("%s.yaml is not followed by %[1]s.want", name)
				}
				want := &a.files[i+1].data
				if *update {
					changed = changed || string(*want) != got
					*want = []byte(got)
				}
				if diff := cmp.Diff(string(*want), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
		if changed {
			if err := os.WriteFile(path, a.format(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// said is all that is said of a configuration, one line each.
func said(t *testing.T, data []byte) string {
	t.Helper()
	dir := folder(t)
	file := filepath.Join(dir, "paywall.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	cfg, err := config.Load(file, lookup)
	if err != nil {
		list, ok := errors.AsType[config.Errors](err)
		if !ok || len(list) == 0 {
			t.Fatalf("err = %v, want Errors", err)
		}
		fmt.Fprintln(&b, err)
		return strings.ReplaceAll(b.String(), dir+string(filepath.Separator), "")
	}
	for _, r := range cfg.Routes {
		fmt.Fprintf(&b, "%s: %q %s to %s", r.ID, r.Method, r.Path, r.Upstream)
		if r.Free {
			b.WriteString(" free")
		}
		for _, p := range r.Prices {
			fmt.Fprintf(&b, ", %s (line %d)", p.Amount, p.Line)
		}
		if r.Window > 0 {
			fmt.Fprintf(&b, ", %s", r.Window)
		}
		b.WriteByte('\n')
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(&b, "warning:", w)
	}
	return strings.ReplaceAll(b.String(), dir+string(filepath.Separator), "")
}

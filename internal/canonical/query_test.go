package canonical_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/internal/canonical"
)

func TestA003_QueryForms(t *testing.T) {
	const refused = http.StatusBadRequest
	hundred := strings.TrimSuffix(strings.Repeat("a=1&", 100), "&")
	for _, tt := range []struct {
		name, in, want string
		status         int
	}{
		{"none", "", "", 0},
		{"plain", "a=1&b=2", "a=1&b=2", 0},
		{"order is kept", "b=2&a=1&b=1", "b=2&a=1&b=1", 0},
		{"empty pairs are left out", "&a=1&&b=2&", "a=1&b=2", 0},
		{"nothing but separators", "&&&", "", 0},
		{"pair without name", "=1&=", "=1&=", 0},
		{"second equals sign and question mark", "a=b=c?d/e", "a=b=c?d/e", 0},
		{"a plus sign stays", "a=b+c%2bd%20e", "a=b+c%2Bd%20e", 0},
		{"unreserved are unescaped", "%61=%7e", "a=~", 0},
		{"escaped separators stay escaped", "a=%26%3d%3b", "a=%26%3D%3B", 0},
		{"what no URI has raw is escaped", `f[x]={"a":1}|^\` + "`<>", "f%5Bx%5D=%7B%22a%22:1%7D%7C%5E%5C%60%3C%3E", 0},
		{"UTF-8", "q=\u00e9%c3%a9", "q=%C3%A9%C3%A9", 0},
		{"as many pairs as allowed", hundred, hundred, 0},
		{"empty pairs do not count", hundred + "&&&", hundred, 0},

		{"semicolon", "a=1;b=2", "", refused},
		{"escape that is none", "a=%zz", "", refused},
		{"escape across a separator", "a=%4&1", "", refused},
		{"NUL", "a=%00", "", refused},
		{"newline", "a=%0A", "", refused},
		{"raw control", "a=\x01", "", refused},
		{"raw space", "a=b c", "", refused},
		{"C1 control", "a=%C2%80", "", refused},
		{"broken UTF-8", "a=%ff", "", refused},
		{"character across a separator", "a=%C3&%A9", "", refused},
		{"fragment", "a=1#b", "", refused},
		{"too long", strings.Repeat("a", canonical.MaxTarget+1), "", http.StatusRequestURITooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := canonical.Query(tt.in)
			if status := statusOf(t, err); got != tt.want || status != tt.status {
				t.Errorf("Query(%q) = %q, %v; want %q, status %d", tt.in, got, err, tt.want, tt.status)
			}
		})
	}
}

func TestC109_ManyPairs(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("a&", canonical.MaxPairs) + "a",
		strings.Repeat("%61&", canonical.MaxPairs) + "a",
		strings.Repeat("a&", canonical.MaxTarget/2),
	} {
		if got, err := canonical.Query(in); statusOf(t, err) != http.StatusBadRequest {
			t.Errorf("%d pairs: %q, %v", strings.Count(in, "&")+1, got, err)
		}
	}
}

func TestParams(t *testing.T) {
	got, err := canonical.Params("tier=free&q=a+b%2Bc&tier=pro&flag&&=x&%66lag=")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"tier": {"free", "pro"}, "q": {"a b+c"}, "flag": {"", ""}, "": {"x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := canonical.Params(""); err != nil || len(got) != 0 {
		t.Errorf("no query: %v, %v", got, err)
	}
	if _, err := canonical.Params("a=1;b=2"); statusOf(t, err) != http.StatusBadRequest {
		t.Errorf("semicolon: %v", err)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "a=1&b=2", "&&a", "a=%zz", "a=%26&b", "q=caf%c3%a9", "a=b+c", "a;b", `f[]={"x"}`, "a=%2541", "=&=", "a=1#", "%41%5c\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := canonical.Query(raw)
		if err != nil {
			statusOf(t, err)
			return
		}
		if again, err := canonical.Query(got); err != nil || again != got {
			t.Fatalf("Query(%q) = %q, and of that %q, %v", raw, got, again, err)
		}
		checkEscaped(t, got)
		if strings.ContainsAny(got, ";# \\") || strings.Contains("&"+got+"&", "&&") && got != "" || strings.Count(got, "&") >= canonical.MaxPairs {
			t.Fatalf("Query(%q) = %q", raw, got)
		}
		// It means what it meant to net/url, and what Params says.
		before, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", raw, err)
		}
		after, err := url.ParseQuery(got)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", got, err)
		}
		params, err := canonical.Params(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("Query(%q) = %q: %s", raw, got, diff)
		}
		if diff := cmp.Diff(after, url.Values(params)); diff != "" {
			t.Fatalf("Params(%q): %s", raw, diff)
		}
	})
}

package canonical_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"paywall/internal/canonical"
)

// statusOf is the status of a refusal, 0 of none, and a failure for any other error.
func statusOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*canonical.Error](err)
	if !ok {
		t.Fatalf("%v is no *canonical.Error", err)
	}
	if e.Detail == "" || e.Error() != e.Detail {
		t.Errorf("error %q with detail %q", e.Error(), e.Detail)
	}
	return e.Status
}

func TestC081_PathCorpus(t *testing.T) {
	const refused = http.StatusBadRequest
	for _, tt := range []struct {
		name, in, want string
		status         int
	}{
		{"plain", "/v1/report", "/v1/report", 0},
		{"root", "/", "/", 0},
		{"case and trailing slash count", "/V1/Report/", "/V1/Report/", 0},
		{"sub-delimiters stay", "/a!$&'()*+,=:@b", "/a!$&'()*+,=:@b", 0},
		{"unreserved are unescaped", "/%41%7a%2d%2E5%5f%7E", "/Az-.5_~", 0},
		{"others keep their escape, in upper case", "/%2a%3b%25%20%3f%23", "/%2A%3B%25%20%3F%23", 0},
		{"an escaped and a raw delimiter stay different", "/a%2Bb", "/a%2Bb", 0},
		{"double escape is unescaped once at most", "/%252e%252e/x", "/%252e%252e/x", 0},
		{"what no URI has raw is escaped", `/"<>[]^{|}` + "`", "/%22%3C%3E%5B%5D%5E%7B%7C%7D%60", 0},
		{"raw UTF-8 is escaped", "/caf\u00e9", "/caf%C3%A9", 0},
		{"escaped UTF-8", "/caf%c3%a9", "/caf%C3%A9", 0},
		{"dots within a segment", "/.well-known/a..b/...", "/.well-known/a..b/...", 0},
		{"trailing dot", "/paid.", "/paid.", 0},
		{"trailing space", "/paid%20", "/paid%20", 0},

		{"empty", "", "", refused},
		{"relative", "v1", "", refused},
		{"dot segment", "/a/./b", "", refused},
		{"dot segment at the end", "/a/..", "", refused},
		{"dot segment first", "/../a", "", refused},
		{"escaped dot segment", "/a/%2e%2e/b", "", refused},
		{"half escaped dot segment", "/a/.%2E", "", refused},
		{"escaped single dot", "/%2e/a", "", refused},
		{"escaped slash", "/a%2fb", "", refused},
		{"escaped backslash", "/a%5Cb", "", refused},
		{"raw backslash", `/a\b`, "", refused},
		{"parameter", "/a;x=1/b", "", refused},
		{"empty segment", "/a//b", "", refused},
		{"empty segment first", "//a", "", refused},
		{"empty segment last", "/a//", "", refused},
		{"NUL", "/a%00", "", refused},
		{"escaped newline", "/a%0d%0a", "", refused},
		{"escaped DEL", "/a%7f", "", refused},
		{"raw control", "/a\tb", "", refused},
		{"raw space", "/a b", "", refused},
		{"C1 control", "/a%c2%85", "", refused},
		{"overlong slash", "/a%c0%afb", "", refused},
		{"overlong dot", "/%c0%ae%c0%ae/b", "", refused},
		{"lone surrogate", "/%ed%a0%80", "", refused},
		{"Latin-1", "/caf%e9", "", refused},
		{"raw broken UTF-8", "/caf\xe9", "", refused},
		{"%u escape", "/%u002e", "", refused},
		{"escape of no digits", "/%zz", "", refused},
		{"escape cut off", "/a%2", "", refused},
		{"escape of nothing", "/a%", "", refused},
		{"fragment", "/a#b", "", refused},
		{"query", "/a?b", "", refused},
		{"as long as allowed", "/" + strings.Repeat("a", canonical.MaxTarget-1), "/" + strings.Repeat("a", canonical.MaxTarget-1), 0},
		{"too long", "/" + strings.Repeat("a", canonical.MaxTarget), "", http.StatusRequestURITooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := canonical.Path(tt.in, canonical.Options{})
			if status := statusOf(t, err); got != tt.want || status != tt.status {
				t.Errorf("Path(%q) = %q, %v; want %q, status %d", tt.in, got, err, tt.want, tt.status)
			}
		})
	}
}

func TestPath_FoldSlashes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"//", "/"},
		{"//a///b//", "/a/b/"},
		{"/a/b", "/a/b"},
		{"/a//%41", "/a/A"},
		{"/a//../b", ""},
		{"/a//;x", ""},
		{"/a/%2f/b", ""},
	} {
		got, err := canonical.Path(tt.in, canonical.Options{FoldSlashes: true})
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("Path(%q) folding = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// A refusal is shown to the client and logged; the request must not be in it.
func TestPath_ErrorsDoNotQuote(t *testing.T) {
	for _, in := range []string{"/spt_secret;", "/spt_secret/../", "/spt_secret%zz", "/spt_secret%ff", "/spt_secret\n"} {
		_, err := canonical.Path(in, canonical.Options{})
		if err == nil || strings.Contains(err.Error(), "spt_") {
			t.Errorf("Path(%q): %v", in, err)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/", "/v1/report", "/a/%2e%2e/b", "/a%2fb", "//a", `/a\b`, "/%c0%af", "/caf%c3%a9", "/%41%2a", "/a;b", "/%25%32%65", "/a//b/", "/[x]", "/%E2%80%A8",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, raw string, fold bool) {
		o := canonical.Options{FoldSlashes: fold}
		got, err := canonical.Path(raw, o)
		if err != nil {
			statusOf(t, err)
			return
		}
		if again, err := canonical.Path(got, canonical.Options{}); err != nil || again != got {
			t.Fatalf("Path(%q) = %q, and of that %q, %v", raw, got, again, err)
		}
		checkEscaped(t, got)
		if strings.ContainsAny(got, "\\;?# ") || strings.Contains(got, "//") ||
			strings.Contains(got, "%2F") || strings.Contains(got, "%5C") {
			t.Fatalf("Path(%q) = %q", raw, got)
		}
		u, err := url.Parse("http://h" + got)
		if err != nil {
			t.Fatalf("net/url cannot read %q: %v", got, err)
		}
		if u.EscapedPath() != got {
			t.Fatalf("net/url would send %q for %q", u.EscapedPath(), got)
		}
		var ours []string
		for s := range strings.SplitSeq(got, "/") {
			d, err := url.PathUnescape(s)
			if err != nil {
				t.Fatal(err)
			}
			if d == "." || d == ".." {
				t.Fatalf("Path(%q) = %q", raw, got)
			}
			ours = append(ours, d)
		}
		if theirs := strings.Split(u.Path, "/"); !slices.Equal(ours, theirs) {
			t.Fatalf("%q has segments %q, for net/url %q", got, ours, theirs)
		}
		// Nothing but spelling may change: as net/url reads it, the raw path means the same.
		if !fold {
			before, err := url.PathUnescape(raw)
			if err != nil || before != u.Path {
				t.Fatalf("%q means %q, and canonical %q means %q (%v)", raw, before, got, u.Path, err)
			}
		}
	})
}

// checkEscaped holds what is true of every canonical text: printable ASCII,
// upper-case escapes of what must be escaped, and UTF-8 without controls in it.
func checkEscaped(t *testing.T, s string) {
	t.Helper()
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			t.Fatalf("%q has raw byte %#x", s, s[i])
		}
		if s[i] != '%' {
			continue
		}
		d, err := url.PathUnescape(s[i : i+3])
		if err != nil || strings.ToUpper(s[i:i+3]) != s[i:i+3] {
			t.Fatalf("%q has escape %q", s, s[i:i+3])
		}
		if strings.ContainsAny(d, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") && utf8.ValidString(d) {
			t.Fatalf("%q escapes %q", s, d)
		}
	}
	d, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(d) || strings.ContainsFunc(d, unicode.IsControl) {
		t.Fatalf("%q is not text: %v", s, err)
	}
}

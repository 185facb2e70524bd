package canonical_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paywall/internal/canonical"
)

func TestC082_Near(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"/paid", "/paid", false},
		{"/paid", "/Paid", true},
		{"/paid", "/paid/", true},
		{"/paid", "/paid.", true},
		{"/paid", "/paid%20", true},
		{"/paid", "/PAID%20./", true},
		{"/paid/x", "/paid./x", true},
		{"/paid/x", "/paid%20/x", true},
		{"/caf%C3%A9", "/CAF%C3%89", true},
		{"/k", "/%E2%84%AA", true}, // the Kelvin sign
		{"/", "/.", true},
		{"/paid", "/paid2", false},
		{"/paid", "/pai.d", false},
		{"/paid/x", "/paidx", false},
		{"/paid/x", "/paid", false},
		{"/paid", "/x/paid", false},
		{"/a%2Bb", "/a+b", true}, // one to a server that unescapes
	} {
		if got := canonical.Near(tt.a, tt.b); got != tt.want {
			t.Errorf("Near(%q, %q) = %v", tt.a, tt.b, got)
		}
		if got := canonical.Near(tt.b, tt.a); got != tt.want {
			t.Errorf("Near(%q, %q) = %v", tt.b, tt.a, got)
		}
	}
}

// Whatever is done to a path that a lenient server would overlook is near.
func TestNear_Variants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.StringMatching(`[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}`).Draw(t, "path")
		variant := path
		if rapid.Bool().Draw(t, "upper") {
			variant = strings.ToUpper(variant)
		}
		variant += strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"/", ".", "%20"}), 0, 4).Draw(t, "tail"), "")
		if want := variant != path; canonical.Near(path, variant) != want {
			t.Fatalf("Near(%q, %q) is not %v", path, variant, want)
		}
	})
}

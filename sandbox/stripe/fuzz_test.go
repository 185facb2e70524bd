package stripe

import (
	"slices"
	"strings"
	"testing"
)

// What parses is written so that it parses to the same form, and the writing is stable.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"a=1&b[c]=2&d[]=3&d[]=4", "expand[0]=latest_charge", "metadata%5Bk%5D=v%20w", "a[][x]=1&a[][y]=2&a[][x]=3", "a=1&a=2", "a[b=1", "a[b]c=1",
		"&&=", "a", "a=%zz", "[a]=1", "a[0]=1&a[]=2", strings.Repeat("a[b]", 3) + "=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseForm(text)
		if err != nil {
			return
		}
		written := form.encode()
		again, err := parseForm(written)
		if err != nil {
			t.Fatalf("%q was written as %q, which is refused: %v", text, written, err)
		}
		if !slices.Equal(form.pairs(), again.pairs()) || again.encode() != written {
			t.Fatalf("%q and %q differ", text, written)
		}
	})
}

// A query means the same after it is written out.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		`metadata['a']:'b'`, `metadata["a\"b"]:"c" AND amount>100`, `-status:"canceled" OR created<=5`, `customer:null`, `currency~"usd"`, `status:'a' status:'b'`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseQuery(text)
		if err != nil {
			return
		}
		again, err := parseQuery(q.String())
		if err != nil || !slices.Equal(q.clauses, again.clauses) || q.any != again.any {
			t.Fatalf("%q was written as %q and read as %+v, %v", text, q.String(), again, err)
		}
	})
}

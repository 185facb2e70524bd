package wallet

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"paywall/money"
)

// Bounds of the text that goes with a request for approval, in characters. The
// wallet demands the lower one.
const (
	minContext = 100
	maxContext = 800
)

// explain composes what the person reads who approves a request.
func explain(r *replay, o *candidate, why string) string {
	// The query is left out: it may hold what is nobody's business at the wallet.
	what := fmt.Sprintf("one request: %s %s", Clean(r.req.Method, 16), Clean(r.req.URL.EscapedPath(), 200))
	return explained(o.Amount, r.req.URL.Host, what, why, o.Description)
}

// explained composes what the person reads who approves. What the seller says is
// quoted as such, and the price is ours.
func explained(amount money.Amount, host, what, why, description string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Payment of %s to %s for %s.", amount, Clean(host, 100), what)
	if why != "" {
		fmt.Fprintf(&b, " Purpose: %s.", strings.TrimRight(why, "."))
	}
	if description != "" {
		fmt.Fprintf(&b, " The seller describes it as \"%s\".", strings.ReplaceAll(description, `"`, "'"))
	}
	return longEnough(b.String())
}

// longEnough brings a text within the bounds.
func longEnough(s string) string {
	s = Clean(s, maxContext)
	if utf8.RuneCountInString(s) < minContext {
		s += " An agent asks for it under a spending policy; the amount can be charged at most once, by this seller only."
	}
	return s
}

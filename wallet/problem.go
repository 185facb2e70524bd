package wallet

import (
	"encoding/json"
	"strings"

	"paywall/mpp"
)

// Problem is the part of an RFC 9457 body that is worth repeating. Its text is
// the seller's, made safe to print.
type Problem struct {
	Type, Title, Detail string
	// Credit is the route whose credit would pay for the request, or empty.
	Credit string
}

// Slug is the name of a problem type of the scheme, or "".
func (p Problem) Slug() string {
	slug, ok := strings.CutPrefix(p.Type, mpp.ProblemBase)
	if !ok {
		return ""
	}
	return slug
}

func (p Problem) String() string {
	name := p.Slug()
	if name == "" {
		name = p.Title
	}
	return chain(name, p.Detail)
}

// parseProblem reads what it can; an answer need not carry a problem at all.
func parseProblem(body []byte) Problem {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return Problem{}
	}
	get := func(name string, limit int) string {
		var s string
		if json.Unmarshal(m[name], &s) != nil {
			return ""
		}
		return Clean(s, limit)
	}
	var credit struct{ Route string }
	_ = json.Unmarshal(m["credit"], &credit) // another type is none
	return Problem{Type: get("type", 200), Title: get("title", 100), Detail: get("detail", 300), Credit: Clean(credit.Route, 64)}
}

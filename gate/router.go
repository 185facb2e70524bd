package gate

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Router is a compiled price table. It is immutable: a reload makes another and
// swaps it in. Requests that no route takes are refused.
type Router struct {
	gate *Gate
	// exact finds routes of fixed paths; others holds the rest, the most specific first.
	exact  map[string][]*route
	others []*route
	// priced is every priced route as a lenient upstream reads it.
	priced []foldedRoute
	cased  bool // some priced path has upper-case letters
	all    []*route
}

type foldedRoute struct {
	pattern pattern
	route   *route
}

// Router compiles the table. Every fault is in the error, which joins them.
func (g *Gate) Router(routes []Route) (*Router, error) {
	r := &Router{gate: g, exact: map[string][]*route{}}
	var errs []error
	ids := map[string]bool{}
	for _, one := range routes {
		c, err := g.compile(one)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ids[c.ID] {
			errs = append(errs, fmt.Errorf("route %s: the id is used twice", c.ID))
		}
		ids[c.ID] = true
		for _, other := range r.all {
			if _, err := compare(other.pattern, c.pattern); err != nil {
				errs = append(errs, fmt.Errorf("routes %s (%s) and %s (%s): %w", other.ID, other.Pattern, c.ID, c.Pattern, err))
			}
		}
		r.all = append(r.all, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, c := range r.all {
		r.add(c)
	}
	for _, list := range r.exact {
		slices.SortStableFunc(list, bySpecificity)
	}
	r.others = inOrder(r.others)
	return r, nil
}

func (r *Router) add(c *route) {
	if c.pattern.literal != "" {
		r.exact[c.pattern.literal] = append(r.exact[c.pattern.literal], c)
	} else {
		r.others = append(r.others, c)
	}
	if !c.Free {
		r.priced = append(r.priced, foldedRoute{c.pattern.folded(), c})
		r.cased = r.cased || strings.ToLower(c.pattern.path()) != c.pattern.path()
	}
}

// bySpecificity puts a route with a method before one for all, GET behind HEAD.
func bySpecificity(a, b *route) int {
	rank := func(c *route) int {
		switch c.pattern.method {
		case "":
			return 2
		case http.MethodGet:
			return 1
		default:
			return 0
		}
	}
	return cmp.Compare(rank(a), rank(b))
}

// inOrder puts each route before those that hold all of its requests. Pairs
// that share some were refused before, so there is such an order.
func inOrder(routes []*route) []*route {
	var sorted []*route
	for _, c := range routes {
		at := len(sorted)
		for i, s := range sorted {
			if n, err := compare(c.pattern, s.pattern); err == nil && n < 0 && within(c.pattern, s.pattern) {
				at = i
				break
			}
		}
		sorted = slices.Insert(sorted, at, c)
	}
	return sorted
}

// find returns the route of a canonical request, or nil.
func (r *Router) find(method, target string) *route {
	for _, c := range r.exact[target] {
		if c.pattern.takes(method) {
			return c
		}
	}
	for _, c := range r.others {
		if c.pattern.takes(method) && c.pattern.match(target) {
			return c
		}
	}
	return nil
}

// evades reports whether the path differs only in letter case or in what trails
// it from one that is priced otherwise: a lenient upstream would take them for
// the same, so serving it at another price would give the dear one away.
func (r *Router) evades(method, target string, found *route) bool {
	if !r.cased && !suspicious(target) {
		return false
	}
	f := fold(target)
	for _, p := range r.priced {
		if p.route == found || !p.pattern.takes(method) || !p.pattern.match(f) {
			continue
		}
		// A less specific priced route matches many paths anyway; only the one that
		// the folded path itself would get counts.
		if better := r.findFolded(method, f); better != nil && better != found && !better.Free {
			return true
		}
	}
	return false
}

// findFolded returns the most specific route for the folded path.
func (r *Router) findFolded(method, f string) *route {
	var best *route
	for _, c := range r.all {
		if !c.pattern.takes(method) || !c.pattern.folded().match(f) {
			continue
		}
		if best == nil || within(c.pattern.folded(), best.pattern.folded()) {
			best = c
		}
	}
	return best
}

func suspicious(target string) bool {
	if n := len(target); n > 1 && (target[n-1] == '/' || target[n-1] == '.') || strings.HasSuffix(target, "%20") {
		return true
	}
	for i := range len(target) {
		if c := target[i]; c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return false
}

// methodsOf lists what a path can be asked with, for Allow; empty when nothing is there.
func (r *Router) methodsOf(target string) []string {
	var allowed []string
	for _, m := range patternMethods {
		if m != http.MethodOptions && r.find(m, target) != nil {
			allowed = append(allowed, m)
		}
	}
	return allowed
}

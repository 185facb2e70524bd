package gate

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"paywall/internal/pattern"
)

// Router is a compiled price table. It is immutable: a reload makes another and
// swaps it in. Requests that no route takes are refused.
type Router struct {
	gate *Gate
	// exact finds routes of fixed paths; others holds the rest, the most specific first.
	exact  map[string][]*route
	others []*route
	// folded is every route as a lenient upstream reads it.
	folded []folded
	priced []*route
	// cased says that some priced path is not what it folds to, so that also a
	// plain path can be taken for it.
	cased bool
	all   []*route
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
	if path, ok := c.pattern.Fixed(); ok {
		r.exact[path] = append(r.exact[path], c)
	} else {
		r.others = append(r.others, c)
	}
	f := foldPattern(c.pattern)
	r.folded = append(r.folded, folded{f, c})
	if !c.Free {
		r.priced = append(r.priced, c)
		r.cased = r.cased || !slices.EqualFunc(f.Segments, c.pattern.Segments, sameText)
	}
}

func sameText(a, b pattern.Segment) bool { return a.Kind == b.Kind && a.Text == b.Text }

// bySpecificity puts a route with a method before one for all, GET behind HEAD.
func bySpecificity(a, b *route) int {
	rank := func(c *route) int {
		switch c.pattern.Method {
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
			if n, err := compare(c.pattern, s.pattern); err == nil && n < 0 && c.pattern.Within(s.pattern) {
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
		if c.pattern.Takes(method) {
			return c
		}
	}
	for _, c := range r.others {
		if c.pattern.Takes(method) && c.pattern.Match(target) {
			return c
		}
	}
	return nil
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

package mpp

import (
	"slices"
	"strconv"
	"strings"
)

type acceptRange struct {
	method, intent string
	q              int // thousandths
}

// parseAccept reads Accept-Payment: method/intent ranges with wildcards and q.
func parseAccept(field string) ([]acceptRange, bool) {
	if len(field) > 4<<10 {
		return nil, false
	}
	var out []acceptRange
	for part := range strings.SplitSeq(field, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "" && params == "" {
			continue
		}
		method, intent, ok := strings.Cut(strings.TrimSpace(name), "/")
		if !ok || (method != "*" && !isMethod(method)) || (intent != "*" && !isIntent(intent)) {
			return nil, false
		}
		q, ok := parseQ(params)
		if !ok {
			return nil, false
		}
		out = append(out, acceptRange{method, intent, q})
	}
	return out, len(out) > 0
}

// parseQ reads ";q=" in thousandths (RFC 9110 section 12.4.2).
func parseQ(params string) (int, bool) {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1000, true
	}
	name, v, ok := strings.Cut(params, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 0, false
	}
	whole, frac, _ := strings.Cut(strings.TrimSpace(v), ".")
	if (whole != "0" && whole != "1") || len(frac) > 3 || strings.Trim(frac, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(whole + (frac + "000")[:3])
	return n, err == nil && n <= 1000
}

// accepted lists offers by the client's preference, ties in our order. A
// malformed field, or one that excludes everything, is ignored.
func (d *dialect) accepted(field string) []int {
	all := make([]int, len(d.offers))
	weight := make([]int, len(d.offers))
	for i := range all {
		all[i] = i
	}
	ranges, ok := parseAccept(field)
	if !ok {
		return all
	}
	var keep []int
	for i := range d.offers {
		if weight[i] = quality(ranges, d.offers[i].offer.Method, d.offers[i].offer.Intent); weight[i] > 0 {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return all
	}
	slices.SortStableFunc(keep, func(a, b int) int { return weight[b] - weight[a] })
	return keep
}

// quality is the weight of the most specific range that matches, or zero.
func quality(ranges []acceptRange, method, intent string) int {
	best, q := -1, 0
	for _, r := range ranges {
		specific := 0
		if r.method == method {
			specific += 2
		} else if r.method != "*" {
			continue
		}
		if r.intent == intent {
			specific++
		} else if r.intent != "*" {
			continue
		}
		if specific > best {
			best, q = specific, r.q
		}
	}
	return q
}

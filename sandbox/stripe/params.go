package stripe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params reads a form by name and remembers what was asked for, so that [params.finish]
// can name what was not. The first wrong value sticks; reading goes on.
type params struct {
	root   *node
	prefix []string
	err    *error
}

func newParams(root *node) params { return params{root: root, err: new(error)} }

func (p params) name(name string) string { return joinName(append(slices.Clone(p.prefix), name)) }

func (p params) fail(err error) {
	if *p.err == nil {
		*p.err = err
	}
}

func (p params) find(name string) *node {
	if p.root == nil {
		return nil
	}
	return p.root.members[name]
}

// has reports whether the name was sent in any form.
func (p params) has(name string) bool { return p.find(name) != nil }

// str reads a value; absent and empty are both "".
func (p params) str(name string) string {
	n := p.find(name)
	if n == nil {
		return ""
	}
	if !n.leaf {
		p.ignore(name) // it is known, only wrong
		p.fail(invalid("parameter_invalid_string", p.name(name), "Invalid string: %s is a group of values.", p.name(name)))
		return ""
	}
	n.used = true
	if len(n.value) > 5000 {
		p.fail(invalid("parameter_invalid_string", p.name(name), "Invalid string: must be at most 5000 characters."))
		return ""
	}
	return n.value
}

// need reads a value that may not be absent or empty.
func (p params) need(name string) string {
	v := p.str(name)
	if v == "" {
		p.missing(name)
	}
	return v
}

func (p params) missing(name string) {
	p.fail(invalid("parameter_missing", p.name(name), "Missing required param: %s.", p.name(name)))
}

// one reads a value out of a list.
func (p params) one(name string, of ...string) string {
	v := p.str(name)
	if v != "" && !slices.Contains(of, v) {
		p.fail(invalid("parameter_invalid_string", p.name(name), "Invalid %s: must be one of %s.", p.name(name), strings.Join(of, ", ")))
		return ""
	}
	return v
}

func (p params) flag(name string) bool { return p.one(name, "true", "false") == "true" }

// integer reads a whole number of at least lowest.
func (p params) integer(name string, lowest int64) (int64, bool) {
	v := p.str(name)
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != v {
		p.fail(invalid("parameter_invalid_integer", p.name(name), "Invalid integer: %.40s", v))
		return 0, false
	}
	if n < lowest {
		p.fail(invalid("parameter_invalid_integer", p.name(name), "This value must be greater than or equal to %d.", lowest))
		return 0, false
	}
	return n, true
}

// group descends into the members of a name; the group is empty when absent.
func (p params) group(name string) params {
	n := p.find(name)
	if n != nil && n.leaf {
		if n.used = true; n.value != "" {
			p.fail(invalid("parameter_invalid", p.name(name), "Invalid object"))
		}
		n = nil
	}
	return params{root: n, prefix: append(slices.Clone(p.prefix), name), err: p.err}
}

// list reads an array of values by index.
func (p params) list(name string) []string {
	n := p.find(name)
	if n == nil {
		return nil
	}
	if n.leaf {
		if n.used = true; n.value != "" {
			p.fail(invalid("parameter_invalid", p.name(name), "Invalid array"))
		}
		return nil
	}
	byIndex := make(map[int]string, len(n.members))
	for index, member := range n.members {
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || strconv.Itoa(i) != index || !member.leaf {
			p.ignore(name)
			p.fail(invalid("parameter_invalid", p.name(name), "Invalid array"))
			return nil
		}
		member.used = true
		byIndex[i] = member.value
	}
	values := make([]string, 0, len(byIndex))
	for _, i := range slices.Sorted(maps.Keys(byIndex)) {
		values = append(values, byIndex[i])
	}
	return values
}

// Limits of metadata.
const (
	maxMetadataKeys  = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// metadata reads changes to a set of notes: an empty value takes a name out, an
// empty group takes all of them out. The result is a new map, never nil.
func (p params) metadata(name string, old map[string]string) map[string]string {
	merged := maps.Clone(old)
	if merged == nil {
		merged = make(map[string]string)
	}
	n := p.find(name)
	if n == nil {
		return merged
	}
	if n.leaf {
		if n.used = true; n.value != "" {
			p.fail(invalid("parameter_invalid", p.name(name), "Invalid object"))
		}
		return map[string]string{}
	}
	for key, member := range n.members {
		full := p.name(name) + "[" + key + "]"
		switch {
		case !member.leaf:
			p.ignore(name)
			p.fail(invalid("parameter_invalid", full, "Metadata values must be strings."))
			return merged
		case len(key) > maxMetadataKey:
			p.fail(invalid("parameter_invalid", p.name(name), "Metadata keys must be at most %d characters.", maxMetadataKey))
		case len([]rune(member.value)) > maxMetadataValue:
			p.fail(invalid("parameter_invalid", full, "Metadata values can have up to %d characters.", maxMetadataValue))
		}
		member.used = true
		if member.value == "" {
			delete(merged, key)
		} else {
			merged[key] = member.value
		}
	}
	if len(merged) > maxMetadataKeys {
		p.fail(invalid("parameter_invalid", p.name(name), "Metadata can have up to %d keys.", maxMetadataKeys))
	}
	return merged
}

// ignore accepts names, with all below them, that change nothing here.
func (p params) ignore(names ...string) {
	for _, name := range names {
		if n := p.find(name); n != nil {
			n.walk(nil, func(_ []string, leaf *node) bool { leaf.used = true; return true })
		}
	}
}

// finish is the error of the form: a parameter that nobody asked for comes
// before a wrong value.
func (p params) finish() error {
	var err error
	p.root.walk(nil, func(path []string, leaf *node) bool {
		if leaf.used {
			return true
		}
		err = unknownParameter(joinName(path))
		return false
	})
	if err != nil {
		return err
	}
	return *p.err
}

func unknownParameter(name string) error {
	return invalid("parameter_unknown", name, "Received unknown parameter: %s", name)
}

// A span is a half-open or closed range of creation times; zero members do not bound.
type span struct{ gt, gte, lt, lte int64 }

// created reads the filter created=N or created[gte]=N and its kin.
func (p params) created() span {
	if n := p.find("created"); n != nil && n.leaf {
		at, ok := p.integer("created", 0)
		if !ok {
			return span{}
		}
		return span{gte: at, lte: at}
	}
	group := p.group("created")
	var s span
	s.gt, _ = group.integer("gt", 0)
	s.gte, _ = group.integer("gte", 0)
	s.lt, _ = group.integer("lt", 0)
	s.lte, _ = group.integer("lte", 0)
	return s
}

func (s span) covers(at time.Time) bool {
	t := at.Unix()
	return (s.gt == 0 || t > s.gt) && t >= s.gte && (s.lt == 0 || t < s.lt) && (s.lte == 0 || t <= s.lte)
}

// page reads the parameters of a list.
func (p params) page() page {
	g := page{after: p.str("starting_after"), before: p.str("ending_before"), limit: 10}
	if n, ok := p.integer("limit", 1); ok {
		if n > 100 {
			p.fail(invalid("parameter_invalid_integer", "limit", "This value must be less than or equal to 100."))
		}
		g.limit = int(n)
	}
	if g.after != "" && g.before != "" {
		p.fail(invalid("parameters_exclusive", "starting_after", "You may only specify one of these parameters: starting_after, ending_before."))
	}
	return g
}

package stripe

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a form body.
const (
	maxBody  = 1 << 20
	maxPairs = 2000
	maxDepth = 8
)

// A node is one level of a nested form: a value, or members by name. The
// members of an array are named by their index, so that a[]=x and a[0]=x,
// which clients mix freely, are the same form.
type node struct {
	value   string
	leaf    bool
	used    bool
	members map[string]*node
	names   []string // in the order of arrival
}

// parseForm reads application/x-www-form-urlencoded text with bracketed names,
// percent-encoded or not. A name given twice, or as a value here and as a group
// there, is refused: it cannot be understood in one way only.
func parseForm(texts ...string) (*node, error) {
	root := new(node)
	pairs := 0
	for _, text := range texts {
		for pair := range strings.SplitSeq(text, "&") {
			if pair == "" {
				continue
			}
			if pairs++; pairs > maxPairs {
				return nil, invalid("", "", "Too many parameters.")
			}
			rawName, rawValue, _ := strings.Cut(pair, "=")
			name, err := url.QueryUnescape(rawName)
			if err != nil {
				return nil, invalid("", "", "Invalid percent-encoding in a parameter name.")
			}
			value, err := url.QueryUnescape(rawValue)
			if err != nil || !utf8.ValidString(value) || !utf8.ValidString(name) {
				return nil, invalid("", "", "Invalid encoding: parameters must be percent-encoded UTF-8.")
			}
			path, ok := splitName(name)
			if !ok {
				return nil, invalid("", "", "Invalid parameter name.")
			}
			if err := root.set(path, value); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

// splitName takes a[b][] apart into a, b and the empty string.
func splitName(name string) ([]string, bool) {
	head, rest, nested := strings.Cut(name, "[")
	if head == "" || strings.Contains(head, "]") {
		return nil, false
	}
	path := []string{head}
	if !nested {
		return path, true
	}
	if !strings.HasSuffix(rest, "]") {
		return nil, false
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "]"), "][") {
		if strings.ContainsAny(part, "[]") {
			return nil, false
		}
		path = append(path, part)
	}
	return path, len(path) <= maxDepth
}

func (n *node) set(path []string, value string) error {
	at := n
	for i, part := range path {
		if at.leaf {
			return invalid("parameter_invalid", joinName(path[:i]), "A parameter is given both as a value and as a group.")
		}
		if part == "" {
			part = at.slot(path[i+1:])
		}
		next := at.members[part]
		if next == nil {
			if at.members == nil {
				at.members = make(map[string]*node)
			}
			next = new(node)
			at.members[part] = next
			at.names = append(at.names, part)
		}
		at = next
	}
	if at.leaf || at.members != nil {
		return invalid("parameter_invalid", joinName(path), "A parameter is given more than once.")
	}
	at.value, at.leaf = value, true
	return nil
}

// slot is the index that [] stands for. In an array of groups, a[][x]=1&a[][y]=2,
// the last group is continued until a member of it comes again.
func (n *node) slot(rest []string) string {
	last := len(n.names) - 1
	if last >= 0 && len(rest) > 0 && rest[0] != "" {
		if group := n.members[n.names[last]]; !group.leaf && group.members[rest[0]] == nil {
			return n.names[last]
		}
	}
	for i := len(n.names); ; i++ {
		if name := strconv.Itoa(i); n.members[name] == nil {
			return name
		}
	}
}

func joinName(path []string) string {
	if len(path) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(path[0])
	for _, part := range path[1:] {
		fmt.Fprintf(&b, "[%s]", part)
	}
	return b.String()
}

// pair is one parameter with its full name.
type pair struct{ name, value string }

// pairs lists the leaves, sorted by name: equal forms have equal lists, however
// they were written.
func (n *node) pairs() []pair {
	var all []pair
	n.walk(nil, func(path []string, leaf *node) bool {
		all = append(all, pair{joinName(path), leaf.value})
		return true
	})
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return all
}

// encode writes the form so that [parseForm] reads it again.
func (n *node) encode() string {
	var b strings.Builder
	for i, p := range n.pairs() {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value))
	}
	return b.String()
}

// walk visits leaves in order of arrival until visit says no.
func (n *node) walk(path []string, visit func([]string, *node) bool) bool {
	if n.leaf {
		return visit(path, n)
	}
	for _, name := range n.names {
		if !n.members[name].walk(append(slices.Clip(path), name), visit) {
			return false
		}
	}
	return true
}

package stripe

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A query is clauses joined by AND or by OR, not by both.
type query struct {
	any     bool // OR
	clauses []clause
}

type clause struct {
	not   bool
	field string // of the object, or "metadata"
	key   string // of the metadata
	op    string
	value string
	null  bool
}

var (
	clauseForm = regexp.MustCompile(`^(-?)([a-z_]+)(?:\[("(?:[^"\\]|\\["\\'])*"|'(?:[^'\\]|\\["\\'])*')\])?(:|~|>=|<=|>|<|=)("(?:[^"\\]|\\["\\'])*"|'(?:[^'\\]|\\["\\'])*'|null|[0-9]{1,18})`)
	joinForm   = regexp.MustCompile(`^\s+(?:(AND|OR|and|or)\s+)?`)
)

const maxClauses = 10

// parseQuery reads the processor's search language: field:"value",
// metadata['key']:'value', amount>1000, joined by AND or OR, negated by a minus.
func parseQuery(text string) (query, error) {
	bad := func() (query, error) {
		return query{}, invalid("", "query", "We were unable to parse your search query. Try using the format `metadata[\"key\"]:\"value\"` or `status:\"succeeded\"`.")
	}
	var q query
	joined := ""
	rest := strings.TrimSpace(text)
	for {
		m := clauseForm.FindStringSubmatch(rest)
		if m == nil || len(q.clauses) == maxClauses {
			return bad()
		}
		c := clause{not: m[1] == "-", field: m[2], key: unquote(m[3]), op: m[4], value: unquote(m[5]), null: m[5] == "null"}
		if (c.field == "metadata") != (m[3] != "") {
			return bad()
		}
		q.clauses = append(q.clauses, c)
		rest = rest[len(m[0]):]
		if rest == "" {
			return q, nil
		}
		j := joinForm.FindStringSubmatch(rest)
		if j == nil {
			return bad()
		}
		word := strings.ToUpper(j[1])
		if word == "" {
			word = "AND"
		}
		if joined != "" && joined != word {
			return bad()
		}
		joined, q.any = word, word == "OR"
		rest = rest[len(j[0]):]
	}
}

func unquote(v string) string {
	if len(v) < 2 || (v[0] != '"' && v[0] != '\'') {
		return v
	}
	var b strings.Builder
	for i := 1; i < len(v)-1; i++ {
		if v[i] == '\\' {
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// String writes the query so that it reads as the same query again.
func (q query) String() string {
	word := " AND "
	if q.any {
		word = " OR "
	}
	parts := make([]string, len(q.clauses))
	for i, c := range q.clauses {
		var b strings.Builder
		if c.not {
			b.WriteByte('-')
		}
		b.WriteString(c.field)
		if c.field == "metadata" {
			b.WriteString("[" + quote(c.key) + "]")
		}
		b.WriteString(c.op)
		if c.null {
			b.WriteString("null")
		} else {
			b.WriteString(quote(c.value))
		}
		parts[i] = b.String()
	}
	return strings.Join(parts, word)
}

func quote(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}

// fields are what one object can be searched by; metadata aside, a field that is
// not in it cannot be searched.
type fields struct {
	values   map[string]string
	metadata map[string]string
}

func (q query) check(known fields) error {
	for _, c := range q.clauses {
		if _, ok := known.values[c.field]; !ok && c.field != "metadata" {
			return invalid("", "query", "Field `%s` is an unsupported search field for this resource.", c.field)
		}
	}
	return nil
}

func (q query) matches(f fields) bool {
	for _, c := range q.clauses {
		if ok := c.matches(f) != c.not; ok == q.any {
			return q.any
		}
	}
	return !q.any
}

func (c clause) matches(f fields) bool {
	have, ok := f.values[c.field]
	if c.field == "metadata" {
		have, ok = f.metadata[c.key]
	}
	if c.null {
		return !ok || have == ""
	}
	switch c.op {
	case ":", "=":
		return ok && have == c.value
	case "~":
		return ok && len(c.value) >= 3 && strings.Contains(strings.ToLower(have), strings.ToLower(c.value))
	}
	a, errA := strconv.ParseInt(have, 10, 64)
	b, errB := strconv.ParseInt(c.value, 10, 64)
	if errA != nil || errB != nil {
		return false
	}
	switch c.op {
	case ">":
		return a > b
	case "<":
		return a < b
	case ">=":
		return a >= b
	}
	return a <= b
}

// search answers one page. It does not see what is younger than the lag: to be
// absent here proves nothing.
func search[T kept](s *Server, c *call, h *shelf[T], url string, describe func(T) fields, known fields, render func(T) object) (object, error) {
	text, limit := c.need("query"), int64(10)
	if n, ok := c.integer("limit", 1); ok {
		limit = min(n, 100)
	}
	from, err := cursor(c.str("page"))
	if err != nil {
		c.fail(err)
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	q, err := parseQuery(text)
	if err != nil {
		return nil, err
	}
	if err := q.check(known); err != nil {
		return nil, err
	}
	seen := c.now.Add(-s.cfg.SearchLag)
	data, next := []object{}, any(nil)
	if from < 0 || from > len(h.list) {
		from = len(h.list)
	}
	for i := from - 1; i >= 0; i-- {
		v := h.list[i]
		if v.born().After(seen) || !q.matches(describe(v)) {
			continue
		}
		if int64(len(data)) == limit {
			next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(i + 1)))
			break
		}
		data = append(data, render(v))
	}
	return object{"object": "search_result", "data": data, "has_more": next != nil, "next_page": next, "url": url}, nil
}

// cursor reads the page parameter; -1 is the beginning.
func cursor(page string) (int, error) {
	if page == "" {
		return -1, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(page)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(string(raw)); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, invalid("", "page", "Invalid page: %.40s", page)
}

func (s *Server) searchIntents(c *call) (object, error) {
	known := fields{values: map[string]string{"amount": "", "created": "", "currency": "", "customer": "", "status": ""}}
	return search(s, c, &c.account.intents, "/v1/payment_intents/search", func(i *intent) fields {
		return fields{metadata: i.metadata, values: map[string]string{
			"amount": strconv.FormatInt(i.amount, 10), "created": unixText(i.created), "currency": i.currency, "customer": i.customer, "status": i.status,
		}}
	}, known, (*intent).render)
}

func (s *Server) searchCharges(c *call) (object, error) {
	known := fields{values: map[string]string{"amount": "", "created": "", "currency": "", "customer": "", "status": "", "payment_intent": ""}}
	return search(s, c, &c.account.charges, "/v1/charges/search", func(h *charge) fields {
		i := h.intent
		return fields{metadata: i.metadata, values: map[string]string{
			"amount": strconv.FormatInt(h.amount, 10), "created": unixText(h.created), "currency": i.currency, "customer": i.customer,
			"status": h.status, "payment_intent": i.id,
		}}
	}, known, (*charge).render)
}

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

package checkout

import (
	"encoding/base64"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// Search asks for products.
type Search struct {
	// Query is words that all have to be found; empty finds everything.
	Query string
	// Categories are those of which one has to fit, without regard to case.
	Categories []string
	// Min and Max bound the price of a variant; nil does not.
	Min, Max *int64
	// Cursor is [Page.Next] of the page before, with everything else the same.
	Cursor string
	// Limit is 10 when it is zero, and at most [MaxPage].
	Limit int
}

// Page is what was found. Next is empty on the last one; Total counts all pages.
type Page struct {
	Products []Product
	Next     string
	Total    int
}

// MaxPage bounds one page.
const MaxPage = 100

// ErrCursor says that a cursor is of another search, or of another version of the shop.
var ErrCursor = errors.New("the cursor is not one of this search")

// entry is a product as it is searched: in lower case, made once.
type entry struct{ title, all, categories string }

func indexed(p *Product) entry {
	var b strings.Builder
	for _, s := range []string{p.ID, p.Title, p.Description} {
		b.WriteString(s + "\n")
	}
	for _, v := range p.Variants {
		for _, s := range []string{v.ID, v.Title, v.Description, v.SKU} {
			b.WriteString(s + "\n")
		}
		for _, o := range v.Options {
			b.WriteString(o.Value + "\n")
		}
	}
	categories := "\n" + strings.ToLower(strings.Join(p.Categories, "\n")) + "\n"
	return entry{strings.ToLower(p.Title), strings.ToLower(b.String()) + categories, categories}
}

// Search finds products; those with every word in their title come first, and
// otherwise they are in the seller's order.
func (s *Shop) Search(q Search) (Page, error) {
	words := strings.Fields(strings.ToLower(q.Query))
	limit := q.Limit
	if limit <= 0 {
		limit = 10
	}
	limit = min(limit, MaxPage)
	after, err := s.position(q)
	if err != nil {
		return Page{}, err
	}
	var first, second []int
	for i := range s.index {
		inTitle, inAll := s.index[i].has(words)
		if !inAll || !s.index[i].among(q.Categories) || !priced(&s.Products[i], q.Min, q.Max) {
			continue
		}
		if inTitle {
			first = append(first, i)
		} else {
			second = append(second, i)
		}
	}
	found := slices.Concat(first, second)
	page := Page{Total: len(found), Products: []Product{}}
	end := min(after+limit, len(found))
	for _, i := range found[min(after, len(found)):end] {
		page.Products = append(page.Products, s.Products[i])
	}
	if end < len(found) {
		page.Next = s.cursor(q, end)
	}
	return page, nil
}

func (e *entry) has(words []string) (inTitle, inAll bool) {
	inTitle = true
	for _, w := range words {
		if !strings.Contains(e.all, w) {
			return false, false
		}
		inTitle = inTitle && strings.Contains(e.title, w)
	}
	return inTitle, true
}

func (e *entry) among(categories []string) bool {
	return len(categories) == 0 || slices.ContainsFunc(categories, func(c string) bool {
		return strings.Contains(e.categories, "\n"+strings.ToLower(c)+"\n")
	})
}

func priced(p *Product, low, high *int64) bool {
	return slices.ContainsFunc(p.Variants, func(v Variant) bool {
		return (low == nil || v.Price >= *low) && (high == nil || v.Price <= *high)
	})
}

// cursor names a position in one search of one version of the shop.
func (s *Shop) cursor(q Search, position int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(s.mark(q) + "." + strconv.Itoa(position)))
}

func (s *Shop) position(q Search) (int, error) {
	if q.Cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(text) > 64 {
		return 0, ErrCursor
	}
	mark, digits, ok := strings.Cut(string(text), ".")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || strconv.Itoa(n) != digits || mark != s.mark(q) {
		return 0, ErrCursor
	}
	return n, nil
}

func (s *Shop) mark(q Search) string {
	h := fnv.New64a()
	bound := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return strconv.FormatInt(*n, 10)
	}
	for _, part := range append([]string{s.Version, q.Query, bound(q.Min), bound(q.Max)}, q.Categories...) {
		_, _ = h.Write([]byte(strconv.Quote(part)))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

package x402

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"paywall/internal/problem"
	"paywall/payment"
)

// Catalogue is a dialect of this package, as directories see it.
type Catalogue interface {
	payment.Dialect

	// Item is the entry for what is asked for at path, which may be a template.
	Item(path string, updated time.Time) DiscoveryItem
}

// DiscoveryItem is one resource in the answer of [Discovery].
type DiscoveryItem struct {
	Resource string                `json:"resource"`
	Type     string                `json:"type"`
	Version  int                   `json:"x402Version"`
	Accepts  []PaymentRequirements `json:"accepts"`
	// LastUpdated is in the form of ISO 8601.
	LastUpdated string                     `json:"lastUpdated"`
	Extensions  map[string]json.RawMessage `json:"extensions,omitempty"`
}

// Item implements [Catalogue]. Of extensions it has those that are the same in every
// challenge.
func (d *dialect) Item(path string, updated time.Time) DiscoveryItem {
	item := DiscoveryItem{
		Resource: d.cfg.Origin + path, Type: "http", Version: V2,
		LastUpdated: updated.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	for i := range d.entries {
		item.Accepts = append(item.Accepts, d.entries[i].need)
	}
	for i := range d.extensions {
		if e := &d.extensions[i]; e.Fresh == nil {
			if item.Extensions == nil {
				item.Extensions = map[string]json.RawMessage{}
			}
			item.Extensions[e.id] = e.Object
		}
	}
	return item
}

// Bounds of a page.
const (
	pageLimit    = 20
	maxPageLimit = 100
	maxOffset    = 1_000_000
)

type discoveryPage struct {
	Version    int             `json:"x402Version"`
	Items      []DiscoveryItem `json:"items"`
	Pagination pagination      `json:"pagination"`
}

type pagination struct {
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
	Total  int `json:"total"`
}

// Discovery answers GET /discovery/resources with what items returns, a page at a
// time. Parameters that it does not know are refused: a filter that is passed over
// gives a wrong answer.
func Discovery(items func() []DiscoveryItem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			problem.Document{
				Type: "about:blank", Title: "Method Not Allowed", Status: http.StatusMethodNotAllowed, Detail: "This list is read with GET.",
			}.Write(w)
			return
		}
		page, kind, ok := readPage(r.URL.RawQuery)
		if !ok {
			problem.Document{
				Type: "about:blank", Title: "Bad Request", Status: http.StatusBadRequest,
				Detail: "The parameters are type (http), limit (1 to 100) and offset, each at most once.",
			}.Write(w)
			return
		}
		var all []DiscoveryItem
		if kind == "" || kind == "http" {
			all = items()
		}
		from := min(page.Offset, len(all))
		page.Total = len(all)
		b, err := marshal(discoveryPage{
			Version: V2, Pagination: page, Items: append([]DiscoveryItem{}, all[from:min(from+page.Limit, len(all))]...),
		})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=60")
		h.Set("Content-Length", strconv.Itoa(len(b)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(b)
		}
	})
}

// readPage reads the parameters of a list.
func readPage(query string) (p pagination, kind string, ok bool) {
	p.Limit = pageLimit
	values, err := url.ParseQuery(query)
	if err != nil {
		return p, "", false
	}
	for name, given := range values {
		if len(given) != 1 {
			return p, "", false
		}
		switch name {
		case "type":
			if kind = given[0]; !slices.Contains([]string{"http", "mcp"}, kind) {
				return p, "", false
			}
		case "limit":
			if p.Limit, ok = number(given[0], 1, maxPageLimit); !ok {
				return p, "", false
			}
		case "offset":
			if p.Offset, ok = number(given[0], 0, maxOffset); !ok {
				return p, "", false
			}
		default:
			return p, "", false
		}
	}
	return p, kind, true
}

// number reads decimal digits in the one way to write them.
func number(s string, low, high int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && strconv.Itoa(n) == s && n >= low && n <= high
}

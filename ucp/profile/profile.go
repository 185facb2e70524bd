// Package profile is what the shop says of itself at /.well-known/ucp: one document for
// each version that is served, made once and served as it is (overview, "discovery").
package profile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/internal/httpsig"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
)

// Config describes the shop. Origin is required.
type Config struct {
	// Origin is the public origin.
	Origin string
	// Handlers are the ways to pay, Keys what answers and events are signed with.
	Handlers []protocol.Handler
	Keys     []httpsig.JWK
	// Permalink is the endpoint of permalinks, or empty. It must be https to be declared.
	Permalink string
	// Receipt is the name of the receipt extension, with its documents; empty is none.
	Receipt, ReceiptSpec, ReceiptSchema string
}

// Endpoint is the path of a version's REST binding, and that of its MCP binding with
// "/mcp" behind it. Each version has its own, so that nothing is taken for the other.
func Endpoint(v protocol.Version) string {
	if v == protocol.Current {
		return "/ucp/v1"
	}
	return "/ucp/" + string(v)
}

// Path is where a version's profile lies.
func Path(v protocol.Version) string {
	if v == protocol.Current {
		return "/.well-known/ucp"
	}
	return "/.well-known/ucp/" + string(v)
}

const published = "https://ucp.dev/"

type object map[string]any

// offered are the capabilities of a version.
func (c Config) offered(v protocol.Version) map[string]object {
	base := published + string(v)
	entry := func(spec, schema string, more ...any) object {
		o := object{"version": string(v), "spec": base + "/specification/" + spec, "schema": base + "/schemas/shopping/" + schema + ".json"}
		for i := 0; i+1 < len(more); i += 2 {
			o[more[i].(string)] = more[i+1] //nolint:forcetypeassert // names, below
		}
		return o
	}
	in := ""
	if v == protocol.Current {
		in = "shopping/" // the release has moved its pages
	}
	both := []string{protocol.Checkout, protocol.Cart}
	all := map[string]object{
		protocol.Checkout:      entry(in+"checkout", "checkout"),
		protocol.Cart:          entry(in+"cart", "cart"),
		protocol.Order:         entry(in+"order", "order"),
		protocol.CatalogSearch: entry(in+"catalog/search", "catalog_search"),
		protocol.CatalogLookup: entry(in+"catalog/lookup", "catalog_lookup"),
		protocol.Discount:      entry(in+"discount", "discount", "extends", both),
		protocol.Fulfillment:   entry(in+"fulfillment", "fulfillment", "extends", protocol.Checkout),
		protocol.BuyerConsent:  entry(in+"buyer-consent", "buyer_consent", "extends", protocol.Checkout),
	}
	if v == protocol.Current && strings.HasPrefix(c.Permalink, "https://") {
		all[protocol.Permalink] = entry(in+"permalink", "permalink", "config", object{"endpoint": c.Permalink})
	}
	if c.Receipt != "" {
		receipt := object{"version": ReceiptVersion, "spec": c.ReceiptSpec, "extends": []string{protocol.Checkout, protocol.Order}}
		if c.ReceiptSchema != "" {
			receipt["schema"] = c.ReceiptSchema
		}
		if c.ReceiptSchema != "" || v != protocol.Current { // the current release wants one
			all[c.Receipt] = receipt
		}
	}
	return all
}

// ReceiptVersion is that of the receipt extension.
const ReceiptVersion = "2026-11-25"

// Offer is what can be negotiated.
func (c Config) Offer() agent.Offer {
	o := agent.Offer{}
	for _, v := range protocol.Versions() {
		entries := map[string]agent.Entry{}
		for name, said := range c.offered(v) {
			e := agent.Entry{Version: said["version"].(string)} //nolint:forcetypeassert // above
			switch parents := said["extends"].(type) {
			case string:
				e.Extends = []string{parents}
			case []string:
				e.Extends = parents
			}
			entries[name] = e
		}
		o[v] = entries
	}
	return o
}

// Document renders the profile of a version.
func (c Config) Document(v protocol.Version) ([]byte, error) {
	if c.Origin == "" {
		return nil, errors.New("profile: Config.Origin is required")
	}
	base := published + string(v)
	service := func(transport, endpoint, schema string) object {
		return object{
			"version": string(v), "transport": transport, "endpoint": endpoint, "spec": base + "/specification/overview",
			"schema": base + "/services/shopping/" + schema,
		}
	}
	capabilities := object{}
	for name, entry := range c.offered(v) {
		capabilities[name] = []object{entry}
	}
	handlers := map[string][]protocol.Declaration{}
	for _, h := range c.Handlers {
		if d, ok := h.Declare(v, nil, time.Time{}); ok { // it is the same at any time
			handlers[h.Name()] = append(handlers[h.Name()], d)
		}
	}
	ucp := object{
		"version": string(v),
		"services": object{protocol.Service: []object{
			service("rest", c.Origin+Endpoint(v), "rest.openapi.json"), service("mcp", c.Origin+Endpoint(v)+"/mcp", "mcp.openrpc.json"),
		}},
		"capabilities": capabilities, "payment_handlers": handlers,
	}
	doc := object{"ucp": ucp}
	keys := "signing_keys"
	if v == protocol.Current {
		keys = "keys"
		older := object{}
		for _, o := range protocol.Versions() {
			if o != v {
				older[string(o)] = c.Origin + Path(o)
			}
		}
		ucp["supported_versions"] = older
	}
	if len(c.Keys) > 0 {
		doc[keys] = c.Keys
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", v, err)
	}
	return data, nil
}

// Handler serves one document, made before.
type Handler struct {
	body []byte
	tag  string
	head http.Header
}

// Serve makes a handler of a document. It can be kept by caches for five minutes.
func Serve(body []byte) *Handler {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return &Handler{body: body, tag: tag, head: http.Header{
		"Content-Type": {"application/json"}, "Cache-Control": {"public, max-age=300"}, "Etag": {tag},
		"Content-Length": {strconv.Itoa(len(body))}, "X-Content-Type-Options": {"nosniff"}, "Access-Control-Allow-Origin": {"*"},
	}}
}

// ServeHTTP implements [http.Handler].
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	maps.Copy(h, s.head) // the values are shared, and only read
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		delete(h, "Content-Length")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case known(r.Header["If-None-Match"], s.tag):
		delete(h, "Content-Length")
		w.WriteHeader(http.StatusNotModified)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusOK)
	default:
		_, _ = w.Write(s.body)
	}
}

func known(fields []string, tag string) bool {
	for _, field := range fields {
		for one := range strings.SplitSeq(field, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

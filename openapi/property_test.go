package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"paywall/openapi"
)

type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

type object = map[string]any

var (
	verbs     = map[string]string{"get": "GET", "head": "HEAD", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE", "options": "OPTIONS", "trace": "TRACE"}
	braces    = regexp.MustCompile(`\{[^{}]*\}`)
	minor     = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	forbidden = []string{"servers", "server"}
)

// verify checks what must hold for whatever [openapi.Build] accepts, with the
// routes read in another way than the package reads them.
func verify(t tb, cfg openapi.Config, docs openapi.Documents) {
	t.Helper()
	again, err := openapi.Build(cfg)
	if err != nil || !bytes.Equal(again.OpenAPI, docs.OpenAPI) || !bytes.Equal(again.LLMs, docs.LLMs) {
		t.Errorf("a second time it comes out differently: %v", err)
	}
	var doc object
	if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, docs.OpenAPI)
	}
	if got, want := fmt.Sprint(doc["servers"]), fmt.Sprint([]any{object{"url": cfg.PublicURL}}); got != want {
		t.Errorf("servers are %s, want %s", got, want)
	}
	info, _ := doc["info"].(object)
	if title, _ := info["title"].(string); title == "" {
		t.Errorf("the title is %v", info["title"])
	}
	theirs := documented(cfg.Upstream)
	shapes := map[string]string{}
	paths, ok := doc["paths"].(object)
	if !ok {
		t.Fatalf("paths are %T", doc["paths"])
	}
	for key, value := range paths {
		shape := braces.ReplaceAllString(key, "{}")
		if other, twice := shapes[shape]; twice {
			t.Errorf("%s and %s are one path", key, other)
		}
		shapes[shape] = key
		item, _ := value.(object)
		if len(item) == 0 {
			t.Errorf("%s holds nothing", key)
		}
		for member, value := range item {
			verb, isVerb := verbs[member]
			switch {
			case member == "summary" || member == "description" || member == "parameters" || strings.HasPrefix(member, "x-"):
			case !isVerb:
				t.Errorf("%s: a member %q", key, member)
			default:
				op, _ := value.(object)
				operation(t, cfg, verb, key, op, theirs[verb+" "+key])
			}
		}
	}
	if !utf8.Valid(docs.LLMs) || len(docs.LLMs) == 0 {
		t.Errorf("llms.txt is not text")
	}
}

// documented lists what the upstream's document has, by method and whole path.
func documented(upstream []byte) map[string]bool {
	var doc struct {
		Servers any
		Paths   map[string]json.RawMessage
	}
	set := map[string]bool{}
	if len(upstream) == 0 || json.Unmarshal(upstream, &doc) != nil {
		return set
	}
	base := ""
	if list, ok := doc.Servers.([]any); ok && len(list) > 0 {
		first, _ := list[0].(object)
		text, _ := first["url"].(string)
		if u, err := url.Parse(text); err == nil {
			base = strings.TrimSuffix(u.EscapedPath(), "/")
		}
		if base != "" && base[0] != '/' {
			base = "/" + base
		}
	}
	for name, raw := range doc.Paths {
		var item object
		if json.Unmarshal(raw, &item) != nil {
			continue
		}
		for member, value := range item {
			if _, isObject := value.(object); isObject && verbs[member] != "" {
				set[verbs[member]+" "+base+name] = true
			}
		}
	}
	return set
}

func operation(t tb, cfg openapi.Config, verb, key string, op object, upstreams bool) {
	t.Helper()
	at := verb + " " + key
	for _, name := range forbidden {
		if op[name] != nil {
			t.Errorf("%s: has %s", at, name)
		}
	}
	responses, _ := op["responses"].(object)
	for status, value := range responses {
		response, _ := value.(object)
		links, _ := response["links"].(object)
		for name, value := range links {
			if link, _ := value.(object); link["server"] != nil {
				t.Errorf("%s: link %s of %s tells the server", at, name, status)
			}
		}
	}
	var first *openapi.Route
	if upstreams {
		// Whatever the parameters stand for, a route takes the request.
		concrete, err := url.PathUnescape(braces.ReplaceAllString(key, "zq7"))
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		i := slices.IndexFunc(cfg.Routes, func(r openapi.Route) bool { return takes(r, verb) && pattern(r.Path).MatchString(concrete) })
		if i < 0 {
			t.Fatalf("%s is not covered by any route", at)
		}
		first = &cfg.Routes[i]
	} else {
		i := slices.IndexFunc(cfg.Routes, func(r openapi.Route) bool {
			return takes(r, verb) && shapeOf(r.Path) == braces.ReplaceAllString(key, "{}")
		})
		if i < 0 {
			t.Fatalf("%s is no route", at)
		}
		first = &cfg.Routes[i]
	}
	_, sold := op["x-payment-info"]
	if !first.Free && !sold {
		t.Errorf("%s costs something and says nothing", at)
	}
	if alone := !slices.ContainsFunc(cfg.Routes, func(r openapi.Route) bool { return !r.Free && shapeOf(r.Path) == shapeOf(first.Path) }); first.Free && alone && sold {
		t.Errorf("%s is free and has a price", at)
	}
	if sold {
		offers(t, at, op)
	}
}

// offers holds x-payment-info to the closed schema of discovery, and what is there
// for x402 to its own form. Each protocol has its field in the 402, or neither.
func offers(t tb, at string, op object) {
	t.Helper()
	responses, _ := op["responses"].(object)
	required, _ := responses["402"].(object)
	headers, _ := required["headers"].(object)
	info, _ := op["x-payment-info"].(object)
	list, _ := info["offers"].([]any)
	protocols, _ := info["protocols"].([]any)
	if required["description"] == nil || (len(list) > 0) != (headers["WWW-Authenticate"] != nil) || (len(protocols) > 0) != (headers["PAYMENT-REQUIRED"] != nil) {
		t.Errorf("%s has a price and no 402 for it", at)
	}
	if len(list)+len(protocols) == 0 {
		t.Errorf("%s: x-payment-info is %v", at, op["x-payment-info"])
	}
	for name := range info {
		if name != "offers" && (len(protocols) == 0 || name != "protocols" && name != "price") {
			t.Errorf("%s: x-payment-info has %s", at, name)
		}
	}
	for _, value := range list {
		offer, _ := value.(object)
		for name, value := range offer {
			text, isText := value.(string)
			good := isText && text != ""
			switch name {
			case "intent":
				good = text == "charge" || text == "session"
			case "amount":
				good = value == nil || minor.MatchString(text)
			case "method", "currency", "description":
			default:
				good = false
			}
			if !good {
				t.Errorf("%s: an offer with %s %v", at, name, value)
			}
		}
		if _, told := offer["amount"]; !told || offer["method"] == nil || offer["intent"] == nil {
			t.Errorf("%s: an offer of %v", at, offer)
		}
	}
	if len(protocols) > 0 && len(protocols) != len(list)+1 {
		t.Errorf("%s: %d protocols and %d offers", at, len(protocols), len(list))
	}
}

func takes(r openapi.Route, verb string) bool {
	return r.Method == "" || r.Method == verb || r.Method == http.MethodGet && verb == http.MethodHead
}

// pattern is a route's path as a regular expression.
func pattern(p string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	for part := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
		switch {
		case part == "**" || strings.HasSuffix(part, "...}"):
			b.WriteString("(/.*)?$")
			return regexp.MustCompile(b.String())
		case part == "*" || strings.HasPrefix(part, "{"):
			b.WriteString("/[^/]+")
		default:
			b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, "[^/]*"))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}

func shapeOf(p string) string {
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if strings.Contains(part, "*") || strings.HasPrefix(part, "{") {
			parts[i] = "{}"
		} else {
			parts[i] = (&url.URL{Path: part}).EscapedPath()
		}
	}
	return strings.Join(parts, "/")
}

// shop has a route of every sort, in the order in which they match.
func shop() []openapi.Route {
	return []openapi.Route{
		free("GET", "/health"),
		priced("GET", "/v1/reports/special", "5.00 USD"),
		priced("GET", "/v1/reports/{id}", "1.00 USD"),
		priced("POST", "/v1/complete", ""),
		free("GET", "/files/*.txt"),
		priced("GET", "/files/*.pdf", "2.00 USD"),
		priced("", "/any/{rest...}", "0.50 USD"),
		free("POST", "/é/{id}/"),
		{Method: "PATCH", Path: "/**", Offers: []openapi.Offer{stablecoin("0.10 USD")}},
		{Method: "PUT", Path: "/**", Offers: []openapi.Offer{{Method: "stripe", Amount: price("3.00 USD")}, stablecoin("3.00 USD")}},
	}
}

// FuzzUpstream: whatever the upstream's document holds, the outcome is refused
// or keeps to [verify].
func FuzzUpstream(f *testing.F) {
	for _, seed := range []string{
		`{"openapi":"3.1.0","info":{"title":"T","version":"1"},"paths":{"/v1/reports/{id}":{"get":{"responses":{"200":{"description":"ok"}}}},"/admin":{"get":{}}}}`,
		`{"openapi":"3.0.3","servers":[{"url":"https://internal.example/v1"}],"paths":{"/reports/{id}":{"get":{"servers":[{"url":"/v1"}],"responses":{"200":{"links":{"a":{"server":{"url":"x"}}}}}}}}}`,
		`{"openapi":"3.1.0","paths":{"/health":{"$ref":"#/components/pathItems/a","get":{"x-payment-info":{"offers":[]}}}},"components":{"pathItems":{"a":{"get":{}}}}}`,
		`{"openapi":"3.1.0","info":7,"paths":{"/files/{name}.pdf":{"get":{}},"/files/{a}{b}":{"get":{}},"/files/x.pdf":{"head":{}},"/any/..":{"put":{}}}}`,
		`{"openapi":"3.1.0","paths":{"/%C3%A9/{id}/":{"post":{"responses":5}},"/a//b":{"put":[]},"/{":{"put":{}},"x-y":{"put":{}}},"webhooks":{"w":{"post":{"servers":[]}}}}`,
		`{"openapi":"3.1.0","paths":{"/v1/complete":{"post":{"callbacks":{"c":{"u":{"post":{"x-payment-info":1}}}}},"options":{},"trace":{}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, upstream []byte) {
		cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: shop(), Upstream: upstream}
		docs, err := openapi.Build(cfg)
		if err != nil {
			if docs.OpenAPI != nil {
				t.Error("an error and a document")
			}
			return
		}
		if upstream == nil {
			cfg.Upstream = nil
		}
		verify(t, cfg, docs)
	})
}

// TestAnyUpstream makes documents out of what documents are made of, and routes
// in any order.
func TestAnyUpstream(t *testing.T) {
	segments := []string{
		"v1", "reports", "special", "complete", "files", "any", "health", "admin", "{id}", "{x}", "{name}.pdf", "{name}.txt", "v{n}", "a.pdf",
		"..", "", "*", "{bad", "%2e%2e", "%41ny", "%C3%A9", "é", "a;b", "a b",
	}
	junk := rapid.SampledFrom([]any{nil, 7, "x", []any{}, object{}, object{"url": "https://internal.example"}, []any{object{"url": "/other"}}})
	responses := rapid.Custom(func(t *rapid.T) any {
		return rapid.SampledFrom([]any{
			nil, "none",
			object{"200": object{"description": "ok", "links": object{"next": object{"server": object{"url": "https://internal.example"}}}}},
			object{"402": object{"description": "their own"}},
		}).Draw(t, "responses")
	})
	members := []string{"get", "post", "put", "patch", "delete", "head", "options", "trace", "$ref", "servers", "parameters", "x-note", "summary", "query"}
	rapid.Check(t, func(t *rapid.T) {
		routes := rapid.Permutation(shop()).Draw(t, "routes")
		routes = routes[:rapid.IntRange(0, len(routes)).Draw(t, "n")]
		paths := object{}
		for range rapid.IntRange(0, 8).Draw(t, "paths") {
			name := rapid.SampledFrom([]string{"/", "/", "/", "/", ""}).Draw(t, "slash") +
				strings.Join(rapid.SliceOfN(rapid.SampledFrom(segments), 1, 3).Draw(t, "segments"), "/")
			item := object{}
			for _, m := range rapid.SliceOfNDistinct(rapid.SampledFrom(members), 1, 5, rapid.ID).Draw(t, "members") {
				if verbs[m] == "" || rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
					item[m] = junk.Draw(t, "junk")
					continue
				}
				op := object{"operationId": rapid.SampledFrom([]string{"a", "b", "getHealth"}).Draw(t, "id"), "responses": responses.Draw(t, "r")}
				if rapid.Bool().Draw(t, "own") {
					op["servers"] = junk.Draw(t, "servers")
				}
				if rapid.Bool().Draw(t, "forged") {
					op["x-payment-info"] = object{"offers": []any{}, "price": 1}
				}
				item[m] = op
			}
			paths[name] = item
		}
		doc := object{"openapi": rapid.SampledFrom([]string{"3.0.4", "3.1.1"}).Draw(t, "version"), "paths": paths}
		if rapid.Bool().Draw(t, "server") {
			doc["servers"] = []any{object{"url": rapid.SampledFrom([]string{"https://internal.example/", "/v1", "v1/", "https://internal.example/%C3%A9"}).Draw(t, "url")}}
		}
		upstream, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: routes, Upstream: upstream}
		docs, err := openapi.Build(cfg)
		if err != nil {
			t.Fatalf("%v\n%s", err, upstream)
		}
		verify(t, cfg, docs)
	})
}

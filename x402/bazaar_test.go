package x402_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"paywall/payment"
	"paywall/x402"
)

func TestBazaarRoute(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, tt := range []struct {
		name  string
		route x402.BazaarRoute
		want  string // empty is refused
	}{
		{
			"plain",
			x402.BazaarRoute{Method: "GET", Template: "/v1/report"},
			`{"info":{"input":{"method":"GET","type":"http"}},"schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"input":{"additionalProperties":false,` +
				`"properties":{"method":{"enum":["GET"]},"type":{"const":"http"}},"required":["type","method"],"type":"object"}},"required":["input"],"type":"object"}}`,
		},
		{
			"all there is",
			x402.BazaarRoute{
				Method: "POST", Template: "/users/:id", BodyType: "json", Output: "json", Example: raw(`{"ok":true}`),
				Body:  x402.Shape{Schema: raw(`{"$ref":"#/$defs/a"}`), Example: raw(`{"a":1}`)},
				Query: x402.Shape{Schema: raw(`{"type":"object"}`), Example: raw(`{"q":"x"}`)},
			},
			`{"info":{"input":{"body":{"a":1},"bodyType":"json","method":"POST","queryParams":{"q":"x"},"type":"http"},"output":{"example":{"ok":true},"type":"json"}},"routeTemplate":"/users/:id",` +
				`"schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"input":{"additionalProperties":false,"properties":{"body":{"$ref":"#/$defs/a"},` +
				`"bodyType":{"enum":["json"]},"method":{"enum":["POST"]},"pathParams":{"type":"object"},"queryParams":{"type":"object"},"type":{"const":"http"}},` +
				`"required":["type","method","bodyType","body"],"type":"object"}},"required":["input"],"type":"object"}}`,
		},
		{
			"a body nobody has an example of",
			x402.BazaarRoute{Method: "PUT", Template: "/", Body: x402.Shape{Schema: raw(`{"required":["a"]}`)}},
			`{"info":{"input":{"body":{},"bodyType":"json","method":"PUT","type":"http"}},"schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"input":{` +
				`"additionalProperties":false,"properties":{"body":{},"bodyType":{"enum":["json"]},"method":{"enum":["PUT"]},"type":{"const":"http"}},` +
				`"required":["type","method","bodyType","body"],"type":"object"}},"required":["input"],"type":"object"}}`,
		},
		{name: "no method", route: x402.BazaarRoute{Template: "/"}},
		{name: "a method of its own", route: x402.BazaarRoute{Method: "get", Template: "/"}},
		{name: "no path", route: x402.BazaarRoute{Method: "GET", Template: "a"}},
		{name: "a URL", route: x402.BazaarRoute{Method: "GET", Template: "//evil.example/x"}},
		{name: "a scheme", route: x402.BazaarRoute{Method: "GET", Template: "/http://evil.example"}},
		{name: "dots", route: x402.BazaarRoute{Method: "GET", Template: "/a/../b"}},
		{name: "dots in a name", route: x402.BazaarRoute{Method: "GET", Template: "/a..b"}},
		{name: "escapes", route: x402.BazaarRoute{Method: "GET", Template: "/a%2e%2e"}},
		{name: "a query", route: x402.BazaarRoute{Method: "GET", Template: "/a?b"}},
		{name: "half a parameter", route: x402.BazaarRoute{Method: "GET", Template: "/a:b"}},
		{name: "a parameter twice", route: x402.BazaarRoute{Method: "GET", Template: "/:a/:a"}},
		{name: "a body of a GET", route: x402.BazaarRoute{Method: "GET", Template: "/", BodyType: "json"}},
		{name: "another type of body", route: x402.BazaarRoute{Method: "POST", Template: "/", BodyType: "xml"}},
		{name: "another output", route: x402.BazaarRoute{Method: "GET", Template: "/", Output: "<b>"}},
		{name: "a reference", route: x402.BazaarRoute{Method: "GET", Template: "/", Query: x402.Shape{Schema: raw(`{"a":[{"$ref":"http://10.0.0.1/"}]}`)}}},
		{name: "an id", route: x402.BazaarRoute{Method: "GET", Template: "/", Path: x402.Shape{Schema: raw(`{"$id":"http://10.0.0.1/"}`)}}},
		{name: "a reference that is none", route: x402.BazaarRoute{Method: "GET", Template: "/", Path: x402.Shape{Schema: raw(`{"$ref":1}`)}}},
		{name: "a schema that is none", route: x402.BazaarRoute{Method: "GET", Template: "/", Path: x402.Shape{Schema: raw(`true`)}}},
		{name: "a schema that is no JSON", route: x402.BazaarRoute{Method: "GET", Template: "/", Path: x402.Shape{Schema: raw(`{`)}}},
		{name: "a long schema", route: x402.BazaarRoute{Method: "GET", Template: "/", Path: x402.Shape{Schema: raw(`{"a":"` + strings.Repeat("x", 1024) + `"}`)}}},
		{name: "parameters that are a list", route: x402.BazaarRoute{Method: "GET", Template: "/", Query: x402.Shape{Example: raw(`[]`)}}},
		{name: "an example that is no JSON", route: x402.BazaarRoute{Method: "GET", Template: "/", Example: raw(`nope`)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.route.Declaration()
			if tt.want == "" {
				if !errors.Is(err, x402.ErrBazaar) || got != nil {
					t.Errorf("%s, %v", got, err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, tt.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	for pattern, want := range map[string]string{
		"/v1/report": "/v1/report", "/v1/reports/{id}": "/v1/reports/:id", "/a/*/b/*": "/a/:var2/b/:var4", "/": "/",
		"/files/**": "", "/files/{rest...}": "", "/a-*": "", "/{a-b}": "", "/a:b": "", "/a%20b": "", "/{}": "",
	} {
		if got, ok := x402.Template(pattern); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", pattern, got, ok)
		}
	}
}

// A template that is taken is one path to every reader.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/a/{b}/*", "/a/../b", "//a", "/%2e", "/:a", "/a:b", "/a/{..}", "/a/{b...}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		got, ok := x402.Template(pattern)
		if !ok {
			return
		}
		for i := range len(got) {
			if c := got[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`%?#\{}*"<>`, c) >= 0 {
				t.Errorf("%q has %q", got, c)
			}
		}
		if !strings.HasPrefix(got, "/") || strings.Contains(got, "//") || strings.Contains(got, "..") {
			t.Errorf("%q is taken", got)
		}
		if _, err := (x402.BazaarRoute{Method: "GET", Template: got}).Declaration(); err != nil {
			t.Errorf("%q: %v", got, err)
		}
	})
}

func describe(route string) (json.RawMessage, bool) {
	raw, err := x402.BazaarRoute{Method: "GET", Template: "/v1/reports/:id", Output: "json"}.Declaration()
	return raw, err == nil && route == "report"
}

func TestBazaar(t *testing.T) {
	p := protocol(t, func(c *x402.Config) { c.Describe = describe })
	asked := challenge(t, compile(t, p, stable(10000)))
	want, _ := describe("report")
	if string(asked.Extensions[x402.ExtensionBazaar]) != string(want) {
		t.Errorf("%s", asked.Extensions)
	}
	other := stable(10000)
	other.Quote.Route = "other"
	if asked := challenge(t, compile(t, p, other)); asked.Extensions != nil {
		t.Errorf("a route that is not described: %s", asked.Extensions)
	}
}

func TestDiscovery(t *testing.T) {
	p := protocol(t, func(c *x402.Config) {
		c.Describe, c.Identifier = describe, x402.IdentifierOptional
		signIns(c)
	})
	d, ok := payment.Dialect(compile(t, p, link(100), stable(10000))).(x402.Catalogue)
	if !ok {
		t.Fatal("it is in no catalogue")
	}
	item := d.Item("/v1/reports/:id", began)
	if len(item.Extensions) != 2 || item.Extensions[x402.ExtensionSignIn] != nil || len(item.Accepts) != 2 ||
		item.Resource != origin+"/v1/reports/:id" || item.LastUpdated != "2026-11-01T12:00:00.000Z" {
		t.Errorf("%+v", item)
	}
	var items []x402.DiscoveryItem
	for i := range 150 {
		one := item
		one.Resource = strconv.Itoa(i)
		items = append(items, one)
	}
	h := x402.Discovery(func() []x402.DiscoveryItem { return items })
	for _, tt := range []struct {
		method, query       string
		status, first, size int
	}{
		{query: "", status: 200, size: 20},
		{query: "type=http&limit=100&offset=100", status: 200, first: 100, size: 50},
		{query: "offset=150", status: 200},
		{query: "offset=1000000", status: 200},
		{query: "type=mcp", status: 200},
		{method: "HEAD", status: 200},
		{method: "POST", status: 405},
		{query: "type=ftp", status: 400},
		{query: "limit=0", status: 400},
		{query: "limit=101", status: 400},
		{query: "limit=+5", status: 400},
		{query: "limit=05", status: 400},
		{query: "offset=-1", status: 400},
		{query: "offset=99999999999999999999", status: 400},
		{query: "limit=1&limit=2", status: 400},
		{query: "network=eip155:1", status: 400},
		{query: "a;b", status: 400},
		{query: "limit=%zz", status: 400},
	} {
		t.Run(tt.method+"?"+tt.query, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), method, "/discovery/resources", http.NoBody)
			r.URL.RawQuery = tt.query
			h.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			if tt.status != http.StatusOK || method == http.MethodHead {
				return
			}
			var page struct {
				Version    int `json:"x402Version"`
				Items      []x402.DiscoveryItem
				Pagination struct{ Limit, Offset, Total int }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			if page.Version != 2 || page.Items == nil || len(page.Items) != tt.size || tt.size > 0 && page.Items[0].Resource != strconv.Itoa(tt.first) {
				t.Errorf("%d items: %+v", len(page.Items), page.Pagination)
			}
		})
	}
}

// Parameters that are taken say the same in any order, and bound the page.
func FuzzDiscovery(f *testing.F) {
	for _, s := range []string{"", "limit=3&offset=2", "limit=1&limit=2", "type=http", "limit=%31", "offset=1e3"} {
		f.Add(s)
	}
	h := x402.Discovery(func() []x402.DiscoveryItem { return make([]x402.DiscoveryItem, 200) })
	f.Fuzz(func(t *testing.T, query string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/discovery/resources", http.NoBody)
		r.URL.RawQuery = query
		h.ServeHTTP(w, r)
		if w.Code == http.StatusBadRequest {
			return
		}
		var page struct {
			Items      []json.RawMessage
			Pagination struct{ Limit, Offset, Total int }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d, %v", w.Code, err)
		}
		if p := page.Pagination; p.Limit < 1 || p.Limit > 100 || p.Offset < 0 || len(page.Items) > p.Limit {
			t.Errorf("%q: %+v", query, p)
		}
	})
}

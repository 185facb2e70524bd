package openapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/money"
	"paywall/openapi"
)

var update = flag.Bool("update", false, "rewrite the expected documents")

// price reads "1.00 USD"; anything else is a price that is told per request.
func price(s string) money.Amount {
	a, err := money.ParsePrice(s)
	if err != nil {
		return money.Amount{}
	}
	return a
}

func priced(method, path, amount string) openapi.Route {
	return openapi.Route{Method: method, Path: path, Offers: []openapi.Offer{{Method: "stripe", Amount: price(amount)}}}
}

// token is the testnet contract that offers of x402 are in.
const token = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"

// stablecoin is an offer of x402; what is no price is told per request.
func stablecoin(amount string) openapi.Offer {
	o := openapi.Offer{
		Method: "facilitator", Currency: token, Price: price(amount),
		X402: &openapi.X402{Scheme: "exact", Network: "eip155:84532", Asset: token, PayTo: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"},
	}
	if o.Price.Valid() {
		exact, err := o.Price.Rescale(6)
		if err == nil {
			o.Amount, err = money.New(exact.Units(), "USDC", 6)
		}
		if err != nil {
			panic(err)
		}
	}
	return o
}

func free(method, path string) openapi.Route {
	return openapi.Route{Method: method, Path: path, Free: true}
}

// golden is config.json of a test case.
type golden struct {
	Title, Description, Homepage, Reference string
	Categories                              []string
	Facilitator, Catalogue                  bool
	Routes                                  []struct {
		Match, Description, Credit string
		// Prices are "stripe 1.00 USD"; without any the route is free. Those of
		// "facilitator" are of x402.
		Prices []string
	}
}

func (g golden) config(upstream []byte) openapi.Config {
	cfg := openapi.Config{
		PublicURL: "https://api.example.com", Title: g.Title, Description: g.Description,
		Homepage: g.Homepage, Reference: g.Reference, Categories: g.Categories, Upstream: upstream,
		Facilitator: g.Facilitator, Catalogue: g.Catalogue,
	}
	for _, r := range g.Routes {
		route := openapi.Route{Description: r.Description, Credit: r.Credit, Path: r.Match, Free: len(r.Prices) == 0}
		if method, path, ok := strings.Cut(r.Match, " "); ok {
			route.Method, route.Path = method, path
		}
		for _, p := range r.Prices {
			method, amount, _ := strings.Cut(p, " ")
			o := openapi.Offer{Method: method, Amount: price(amount)}
			if method == "facilitator" {
				o = stablecoin(amount)
			}
			route.Offers = append(route.Offers, o)
		}
		cfg.Routes = append(cfg.Routes, route)
	}
	return cfg
}

// TestBuild compares whole documents: each archive in testdata holds config.json,
// perhaps upstream.json, and what is to come out of them.
func TestBuild(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a := readArchive(t, file)
			var g golden
			dec := json.NewDecoder(bytes.NewReader(a.part("config.json")))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&g); err != nil {
				t.Fatal(err)
			}
			cfg := g.config(a.part("upstream.json"))
			docs, err := openapi.Build(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, docs.OpenAPI, "", "  "); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{"openapi.json": pretty.String(), "llms.txt": string(docs.LLMs)}
			for _, name := range slices.Sorted(maps.Keys(got)) {
				if *update {
					a.set(name, got[name])
				} else if diff := cmp.Diff(string(a.part(name)), got[name]); diff != "" {
					t.Errorf("%s (run go test with -update and read the difference):\n%s", name, diff)
				}
			}
			if *update {
				a.write(t, file)
			}
			parse(t, docs.OpenAPI)
			verify(t, cfg, docs)
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	ok := priced("GET", "/a", "1.00 USD")
	tests := []struct {
		name string
		edit func(*openapi.Config)
		want string
	}{
		{"no public URL", func(c *openapi.Config) { c.PublicURL = "" }, "public URL"},
		{"a public URL with a path", func(c *openapi.Config) { c.PublicURL = "https://api.example.com/" }, "public URL"},
		{"a public URL of no web", func(c *openapi.Config) { c.PublicURL = "ftp://api.example.com" }, "public URL"},
		{"a public URL with a user", func(c *openapi.Config) { c.PublicURL = "https://me@api.example.com" }, "public URL"},
		{"six categories", func(c *openapi.Config) { c.Categories = make([]string, 6) }, "categories"},
		{"a home page of a script", func(c *openapi.Config) { c.Homepage = "javascript:alert(1)" }, "http or https"},
		{"a reference that is relative", func(c *openapi.Config) { c.Reference = "/docs" }, "http or https"},
		{"a method that cannot be priced", func(c *openapi.Config) { c.Routes[0].Method = "TRACE" }, "method"},
		{"free with offers", func(c *openapi.Config) { c.Routes[0].Free = true }, "either offers or free"},
		{"neither free nor offered", func(c *openapi.Config) { c.Routes[0].Offers = nil }, "either offers or free"},
		{"an offer of nobody", func(c *openapi.Config) { c.Routes[0].Offers[0].Method = "" }, "offer"},
		{"an offer of x402 on no network", func(c *openapi.Config) {
			c.Routes[0].Offers[0].X402 = &openapi.X402{Scheme: "exact", Network: "base", Asset: token, PayTo: token}
		}, "x402"},
		{"an offer of x402 to nobody", func(c *openapi.Config) {
			c.Routes[0].Offers[0].X402 = &openapi.X402{Scheme: "exact", Network: "eip155:1", Asset: token}
		}, "x402"},
		{"an intent of no table", func(c *openapi.Config) { c.Routes[0].Offers[0].Intent = "subscription" }, "intent"},
		{"a path without a slash", func(c *openapi.Config) { c.Routes[0].Path = "a" }, "slash"},
		{"a rest in the middle", func(c *openapi.Config) { c.Routes[0].Path = "/**/a" }, "is last"},
		{"an empty segment", func(c *openapi.Config) { c.Routes[0].Path = "/a//b" }, "empty segment"},
		{"a parameter without a name", func(c *openapi.Config) { c.Routes[0].Path = "/{}" }, "parameter"},
		{"half a segment", func(c *openapi.Config) { c.Routes[0].Path = "/{id}.json" }, "whole segment"},
		{"one name twice", func(c *openapi.Config) { c.Routes[0].Path = "/{id}/{id}" }, "there twice"},
		{"a dot segment", func(c *openapi.Config) { c.Routes[0].Path = "/a/../b" }, "dot segment"},
		{"a glob with a class", func(c *openapi.Config) { c.Routes[0].Path = "/[ab]*" }, "only *"},
		{"an upstream of no JSON", func(c *openapi.Config) { c.Upstream = []byte("openapi: 3.1.0") }, "not a JSON object"},
		{"an upstream of two values", func(c *openapi.Config) { c.Upstream = []byte(`{"openapi":"3.1.0"}{}`) }, "more than one"},
		{"an upstream of Swagger", func(c *openapi.Config) { c.Upstream = []byte(`{"swagger":"2.0"}`) }, "3.0 or 3.1"},
		{"an upstream of the future", func(c *openapi.Config) { c.Upstream = []byte(`{"openapi":"4.0.0"}`) }, "3.0 or 3.1"},
		{"an upstream that is too large", func(c *openapi.Config) { c.Upstream = make([]byte, 8<<20+1) }, "bytes"},
		{"an upstream somewhere", func(c *openapi.Config) {
			c.Upstream = []byte(`{"openapi":"3.1.0","servers":[{"url":"https://{host}"}]}`)
		}, "variables"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: []openapi.Route{ok}}
			cfg.Routes[0].Offers = slices.Clone(ok.Offers)
			tt.edit(&cfg)
			docs, err := openapi.Build(cfg)
			if !errors.Is(err, openapi.ErrConfig) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrConfig and %q", err, tt.want)
			}
			if docs.OpenAPI != nil || docs.LLMs != nil {
				t.Error("half a description was returned")
			}
		})
	}
}

// TestOffers: what is said of a price, over all that may stand in one route.
func TestOffers(t *testing.T) {
	usdc, err := money.New(10000, "0x20c0000000000000000000000000000000000000", 6)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		routes []openapi.Route
		want   string
	}{
		{"one price", []openapi.Route{priced("GET", "/a", "1.00 USD")}, `[{"amount":"100","currency":"usd","intent":"charge","method":"stripe"}]`},
		{"a currency without minor units", []openapi.Route{priced("GET", "/a", "150 JPY")}, `[{"amount":"150","currency":"jpy","intent":"charge","method":"stripe"}]`},
		{"told per request", []openapi.Route{priced("GET", "/a", "")}, `[{"amount":null,"intent":"charge","method":"stripe"}]`},
		{
			"told per request, in a known currency",
			[]openapi.Route{{Method: "GET", Path: "/a", Offers: []openapi.Offer{{Method: "stripe", Currency: "usd"}}}},
			`[{"amount":null,"currency":"usd","intent":"charge","method":"stripe"}]`,
		},
		{
			"two ways",
			[]openapi.Route{{Method: "GET", Path: "/a", Offers: []openapi.Offer{{Method: "stripe", Amount: price("0.50 USD")}, {Method: "tempo", Intent: "session", Amount: usdc, Description: "by the token"}}}},
			`[{"amount":"50","currency":"usd","intent":"charge","method":"stripe"},{"amount":"10000","currency":"0x20c0000000000000000000000000000000000000","description":"by the token","intent":"session","method":"tempo"}]`,
		},
		{
			"sold otherwise",
			[]openapi.Route{{Method: "GET", Path: "/a", Credit: "sold in packs of 5.00 USD", Offers: []openapi.Offer{{Method: "stripe", Amount: price("0.01 USD")}}}},
			`[{"amount":"1","currency":"usd","description":"sold in packs of 5.00 USD","intent":"charge","method":"stripe"}]`,
		},
		{"two prices under conditions", []openapi.Route{priced("GET", "/a", "1.00 USD"), priced("GET", "/a", "2.00 USD")}, `[{"amount":null,"currency":"usd","intent":"charge","method":"stripe"}]`},
		{"free under a condition", []openapi.Route{free("GET", "/a"), priced("GET", "/a", "2.00 USD")}, `[{"amount":"200","currency":"usd","intent":"charge","method":"stripe"}]`},
		{"never reached", []openapi.Route{priced("GET", "/*", "1.00 USD"), priced("GET", "/a", "2.00 USD")}, ``},
		{"free", []openapi.Route{free("GET", "/a")}, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: tt.routes}
			docs, err := openapi.Build(cfg)
			if err != nil {
				t.Fatal(err)
			}
			verify(t, cfg, docs)
			var doc struct {
				Paths map[string]map[string]struct {
					Info *struct{ Offers json.RawMessage } `json:"x-payment-info"`
				}
			}
			if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
				t.Fatal(err)
			}
			got := ""
			if info := doc.Paths["/a"]["get"].Info; info != nil {
				got = string(info.Offers)
			}
			if got != tt.want {
				t.Errorf("offers are\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

// TestLLMsStaysPlain: configured text does not get out of its line.
func TestLLMsStaysPlain(t *testing.T) {
	cfg := openapi.Config{
		PublicURL: "https://api.example.com", Title: "A\n# B", Description: "First.\nStill first.\n\n## Second",
		Routes: []openapi.Route{{Method: "GET", Path: "/a", Free: true, Description: "One\r\n- two\x1b[31m"}},
	}
	docs, err := openapi.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := string(docs.LLMs)
	for _, want := range []string{"# A # B\n", "> First. Still first.\n", "- `GET /a`: One - two[31m. Free.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\r\x1b") || strings.Contains(text, "Second") {
		t.Errorf("not plain:\n%q", text)
	}
}

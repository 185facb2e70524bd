package gate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/gate"
	"paywall/payment"
	"paywall/pricing/conditional"
	"paywall/pricing/tiered"
)

func TestC083_Ambiguity(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		name string
		a, b string
		bad  bool
	}{
		{"the same", "GET /a", "GET /a", true},
		{"parameters by other names", "GET /{x}", "GET /{y}", true},
		{"crossing", "/a/{x}", "/{y}/b", true},
		{"crossing methods", "GET /a/**", "/a/b", true},
		{"globs that cross", "/a*", "/*b", true},
		{"rest and glob", "/a/**", "/*/b", true},
		{"within", "/a/**", "/a/b", false},
		{"within by method", "/a", "GET /a", false},
		{"parameter within rest", "/a/{x}", "/**", false},
		{"apart", "/a/{x}", "/b/{x}", false},
		{"other methods", "GET /a/{x}", "POST /{y}/b", false},
		{"slash at the end", "/a", "/a/", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
				_, err := h.gate.Router([]gate.Route{
					{ID: "one", Pattern: order[0], Pricer: usd(t, "1.00 USD"), Handler: h.api},
					{ID: "two", Pattern: order[1], Pricer: usd(t, "2.00 USD"), Handler: h.api},
				})
				if (err != nil) != tt.bad {
					t.Errorf("%v: error %v, want one: %t", order, err, tt.bad)
				}
			}
		})
	}
}

// The same table in any order prices alike: the most specific route wins.
func TestC083_AnyOrder(t *testing.T) {
	h := newHouse(t)
	patterns := []string{"/**", "/a/**", "/a/{x}", "/a/b*", "/a/bc", "GET /a/bc", "/a/{x}/d"}
	want := map[string]string{"GET /a/bc": "get--a-bc", "POST /a/bc": "a-bc", "GET /a/bx": "a-b", "GET /a/x": "a--x", "GET /a/x/d": "a--x--d", "GET /a/x/y": "a", "GET /z": "star"}
	for round := range 50 {
		list := make([]gate.Route, len(patterns))
		for i, p := range patterns {
			name := id(p)
			if name == "" {
				name = "star"
			}
			list[(i*3+round)%len(patterns)] = gate.Route{ID: name, Pattern: p, Free: true, Handler: h.api}
		}
		if round%2 == 1 {
			slices.Reverse(list)
		}
		router, err := h.gate.Router(list)
		h.must(err)
		for ask, route := range want {
			method, target, _ := strings.Cut(ask, " ")
			do(router, request(t, method, target, ""))
			if e := <-h.events; e.Route != route {
				t.Fatalf("round %d: %s went by %s, want %s", round, ask, e.Route, route)
			}
		}
	}
}

func TestA037_ConfigurationErrors(t *testing.T) {
	h := newHouse(t)
	ok := gate.Route{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api}
	if _, err := h.gate.Router([]gate.Route{ok}); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*gate.Route){
		"below the minimum":         func(r *gate.Route) { r.Pricer = usd(t, "0.10 USD") },
		"no price":                  func(r *gate.Route) { r.Pricer = nil },
		"free and priced":           func(r *gate.Route) { r.Free = true },
		"no handler":                func(r *gate.Route) { r.Handler = nil },
		"id":                        func(r *gate.Route) { r.ID = "A b" },
		"no pattern":                func(r *gate.Route) { r.Pattern = "" },
		"method":                    func(r *gate.Route) { r.Pattern = "get /a" },
		"relative":                  func(r *gate.Route) { r.Pattern = "a" },
		"escaped":                   func(r *gate.Route) { r.Pattern = "/a%2fb" },
		"dots":                      func(r *gate.Route) { r.Pattern = "/a/../b" },
		"semicolon":                 func(r *gate.Route) { r.Pattern = "/a;b" },
		"rest in the middle":        func(r *gate.Route) { r.Pattern = "/**/a" },
		"half a parameter":          func(r *gate.Route) { r.Pattern = "/x{id}" },
		"stars only":                func(r *gate.Route) { r.Pattern = "/***" },
		"unknown method of paying":  func(r *gate.Route) { r.Methods = []string{"gold"} },
		"C102 control characters":   func(r *gate.Route) { r.Description = "a\r\nX: y" },
		"C102 not ASCII, on a wire": func(r *gate.Route) { r.Description = "\x00" },
	} {
		t.Run(name, func(t *testing.T) {
			r := ok
			spoil(&r)
			if _, err := h.gate.Router([]gate.Route{r}); err == nil {
				t.Error("was taken")
			}
		})
	}
	if _, err := gate.New(gate.Config{Realm: "a|b", Processor: h.processor}); err == nil {
		t.Error("A011: a realm with a separator was taken")
	}
}

func TestC084_Methods(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	for method, want := range map[string]int{
		"HEAD": 402, "OPTIONS": 204, "POST": 405, "TRACE": 405, "PROPFIND": 405, "get": 405, "CONNECT": 405, "GETS": 405, "": 402,
	} {
		r := request(t, "GET", "/a", "")
		r.Method = method
		if method == "" {
			r.Method = "GET"
		}
		w := do(router, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", method, w.Code, want)
		}
		if method == "HEAD" && w.Body.Len() != 0 {
			t.Error("HEAD has a body")
		}
		if want == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s: no Allow", method)
		}
	}
	h.untouched(t)
}

func TestC085_MethodOverride(t *testing.T) {
	form := map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}
	multipart := map[string][]string{"Content-Type": {"multipart/form-data; boundary=b"}}
	part := func(name string) string {
		return "--b\r\nContent-Disposition: form-data; name=" + name + "\r\n\r\nDELETE\r\n--b--\r\n"
	}
	for _, tt := range []struct {
		name, target, body string
		header             http.Header
		want               int
	}{
		{name: "query", target: "/doc?_method=DELETE", want: 400},
		{name: "query, escaped", target: "/doc?%5FMethod=DELETE", want: 400},
		{name: "form", target: "/doc", body: "a=1&_method=DELETE", header: form, want: 400},
		{name: "form, escaped", target: "/doc", body: "%5fmethod=DELETE", header: form, want: 400},
		{name: "multipart", target: "/doc", body: part(`"_method"`), header: multipart, want: 400},
		{name: "multipart, bare name", target: "/doc", body: part("_method"), header: multipart, want: 400},
		{name: "multipart that cannot be read", target: "/doc", body: "--b\r\nx", header: multipart, want: 400},
		{name: "another spelling of the path", target: "/DOC%20?_method=DELETE", want: 400},
		{name: "a form without it", target: "/doc", body: "payment_method=card", header: form, want: 200},
		{name: "multipart without it", target: "/doc", body: part(`"x"`), header: multipart, want: 200},
		{name: "where nothing else is priced", target: "/other?_method=DELETE", want: 200},
		{name: "header", target: "/doc", header: http.Header{"X-Http-Method-Override": {"DELETE"}}, want: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"DELETE /doc": "1.00 USD", "POST /**": ""})
			r := request(t, "POST", tt.target, tt.body)
			maps.Copy(r.Header, tt.header)
			w := do(router, r)
			if w.Code != tt.want {
				t.Fatalf("%d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want != 200 {
				h.untouched(t)
				return
			}
			if !strings.HasSuffix(h.api.seen[0], " "+tt.body) {
				t.Errorf("the handler got %q", h.api.seen[0])
			}
			if got := h.api.last.Header["X-Http-Method-Override"]; got != nil {
				t.Errorf("the override went on: %v", got)
			}
		})
	}
}

// What lies about who is meant, what is meant or who asks goes no further, on
// free routes and on paid ones; what is the upstream's own does.
func TestC085_C086_C087_C089_C095_InboundFields(t *testing.T) {
	taken := []string{
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Original-Host", "X-Rewrite-Url", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
		"X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Accel-Redirect", "Forwarded", "X-Real-Ip", "True-Client-Ip", "X_forwarded_for", "Payment-Receipt", "Payment-Authorization", "Payment-Signature",
		"X-Payment", "X-Payment-Response", "Paywall-Receipt", "Paywall-Unreached", "Accept-Payment", "Proxy-Authorization", "Te", "Keep-Alive", "Proxy-Connection", "X-Named-Hop", "Upgrade",
	}
	passed := []string{"Accept", "Cookie", "User-Agent", "X-Api-Key", "Content-Type", "Range"}
	for _, paid := range []bool{false, true} {
		t.Run(fmt.Sprint("paid ", paid), func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
			r := request(t, "GET", "/free", "")
			if paid {
				r = h.paid(router, "GET", "/a", "")
			}
			for _, name := range append(slices.Clone(taken), passed...) {
				if name != "Payment-Authorization" && name != "Payment-Signature" && name != "X-Payment" || !paid {
					r.Header[name] = []string{"sent"}
				}
			}
			r.Header["Connection"] = []string{"X-Named-Hop, Authorization"}
			r.Header["Paywall-Payment-Id"] = []string{"pay_forged"}
			if w := do(router, r); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			got := h.api.last.Header
			for _, name := range taken {
				if _, ok := got[name]; ok {
					t.Errorf("%s went on", name)
				}
			}
			for _, name := range passed {
				if got.Get(name) != "sent" {
					t.Errorf("%s did not go on", name)
				}
			}
			if id := got.Get("Paywall-Payment-Id"); id == "pay_forged" || (id != "") != paid {
				t.Errorf("payment id %q", id)
			}
			if got.Get("Authorization") != "" {
				t.Error("the credential went on")
			}
		})
	}
}

// The upstream's own credentials pass where they are not a payment.
func TestC095_OwnCredentialsPass(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /free": ""})
	for field, passes := range map[string]bool{"Basic eDp5": true, "Bearer abc": true, "Bearer a.b.c": true, "Payment x": false, "payment x": false, "Bearer x, Payment y": false} {
		r := request(t, "GET", "/free", "")
		r.Header.Set("Authorization", field)
		do(router, r)
		if got := h.api.last.Header.Get("Authorization"); (got == field) != passes {
			t.Errorf("%s: the upstream got %q", field, got)
		}
	}
}

func TestC088_Hosts(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Hosts = []string{"alt.example"} })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	for host, want := range map[string]int{
		realm: 402, realm + ":8443": 402, realm + ".": 402, strings.ToUpper(realm): 402, "alt.example": 402,
		"user@" + realm: 400, "": 400, "[::1]": 421, "localhost": 421, "evil.example": 421, realm + ".evil.example": 421, realm + ":": 400, realm + ":x": 400, "[::1": 400, realm + "/": 400,
	} {
		r := request(t, "GET", "/a", "")
		r.Host = host
		if w := do(router, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
	two := request(t, "GET", "/a", "")
	two.Header["Host"] = []string{"evil.example"}
	if w := do(router, two); w.Code != 400 {
		t.Errorf("two hosts: %d", w.Code)
	}
	w := do(router, func() *http.Request { r := request(t, "GET", "/a", ""); r.Host = "alt.example"; return r }())
	if !strings.Contains(w.Header().Get("Www-Authenticate"), `realm="`+realm+`"`) {
		t.Errorf("the realm is not the configured one: %s", w.Header().Get("Www-Authenticate"))
	}
}

func TestC096_C097_OutboundFields(t *testing.T) {
	forged := map[string]string{
		"Payment-Receipt": "forged", "Payment-Response": "forged", "Payment-Required": "forged", "X-Payment-Response": "forged", "Paywall-Receipt": "forged", "Settlement-Overrides": "forged",
		"Www-Authenticate": `Basic realm="x", Payment id="forged"`, "Surrogate-Control": "max-age=60", "Cdn-Cache-Control": "max-age=60", "Cloudflare-Cdn-Cache-Control": "max-age=60",
		"X-Accel-Redirect": "/inside", "X-Accel-Buffering": "yes", "Paywall-Unreached": "1", http.TrailerPrefix + "Payment-Receipt": "forged", http.TrailerPrefix + "Www-Authenticate": "Payment id=\"forged\"",
	}
	for _, paid := range []bool{false, true} {
		t.Run(fmt.Sprint("paid ", paid), func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
			h.api.set(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range forged {
					w.Header()[k] = []string{v}
				}
				w.Header().Set("Cache-Control", "public, max-age=3600")
				w.Header().Set("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")
				w.Header().Set("Trailer", "Payment-Receipt, X-Sum")
				w.Header().Set("X-Own", "kept")
				io.WriteString(w, "goods")
				w.Header().Set("Payment-Receipt", "forged late")
				w.Header().Set("X-Sum", "kept")
			})
			target := "/free"
			server := httptest.NewServer(hosted(router))
			defer server.Close()
			r := request(t, "GET", target, "")
			if paid {
				r = h.paid(router, "GET", "/a", "")
			}
			resp, err := server.Client().Do(live(t, server, r))
			h.must(err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			for name := range forged {
				if v := strings.Join(resp.Header[name], ","); strings.Contains(v, "forged") || strings.Contains(v, "60") || strings.Contains(v, "inside") {
					t.Errorf("%s: %s", name, v)
				}
			}
			if v := resp.Trailer.Get("Payment-Receipt") + resp.Trailer.Get("Www-Authenticate"); v != "" {
				t.Errorf("C106: trailer %s", v)
			}
			if resp.Header.Get("X-Own") != "kept" || resp.Trailer.Get("X-Sum") != "kept" {
				t.Errorf("the upstream's own fields are gone: %v %v", resp.Header, resp.Trailer)
			}
			if cc := resp.Header.Get("Cache-Control"); paid && (cc != "private, no-store" || resp.Header.Get("Expires") != "" || !strings.Contains(resp.Header.Get("Vary"), "Authorization")) {
				t.Errorf("a paid answer may be kept by others: %v", resp.Header)
			}
		})
	}
}

func TestC098_Conditional(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "Range", "If-Range", "If-Match"} {
		r := request(t, "GET", "/a", "")
		r.Header.Set(name, "*")
		h.refused(t, do(router, r), "payment-required")
	}
	h.api.set(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "goods")
	})
	r := h.paid(router, "GET", "/a", "")
	r.Header.Set("If-None-Match", "*")
	r.Header.Set("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT")
	if w := do(router, r); w.Code != 200 || w.Body.String() != "goods" {
		t.Errorf("paid: %d %s", w.Code, w.Body)
	}
}

// C099: a payment buys one answer: ranges do not multiply it.
func TestC099_Ranges(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.Answer = -1 })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	h.api.set(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.bin", time.Time{}, bytes.NewReader(make([]byte, 1000)))
	})
	field := h.credential(h.challenge(router, "GET", "/a", ""), h.token())
	for i, want := range []int{206, 402, 402} {
		r := request(t, "GET", "/a", "")
		r.Header.Set("Authorization", field)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", i*10, i*10+9))
		if w := do(router, r); w.Code != want {
			t.Errorf("range %d: %d, want %d", i, w.Code, want)
		}
	}
	h.settled(1, 0)
}

func TestC103_CORS(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		io.WriteString(w, "x")
	})
	pre := request(t, "OPTIONS", "/a", "")
	for k, v := range map[string]string{"Origin": "null", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-own, bad header, authorization"} {
		pre.Header.Set(k, v)
	}
	w := do(router, pre)
	allowed := strings.ToLower(w.Header().Get("Access-Control-Allow-Headers"))
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(allowed, "x-own") || !strings.Contains(allowed, "authorization") || strings.Contains(allowed, "bad header") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	h.untouched(t)
	for _, target := range []string{"/a", "/free"} {
		r := request(t, "GET", target, "")
		r.Header.Set("Origin", "https://page.example")
		w := do(router, r)
		if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("%s: %v", target, w.Header())
		}
	}
}

func TestC104_Page(t *testing.T) {
	h := newHouse(t)
	const evil = `"><script>alert(1)</script>'`
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /page/{x}", Pricer: usd(t, "1.00 USD"), Description: `<img src=x onerror=y>`, Handler: h.api}})
	h.must(err)
	r := request(t, "GET", "/page/%3Cscript%3E'?q=%3C/pre%3E%3Cscript%3E", "")
	r.Header.Set("Accept", "text/html,application/json;q=0.9")
	r.Header.Set("User-Agent", evil)
	r.Header.Set("Referer", evil)
	w := do(router, r)
	h.refused(t, w, "")
	page := w.Body.String()
	for _, bad := range []string{"<script", "<img", "alert(1)", "onerror=y>", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if !strings.Contains(page, "1.00 USD") || !strings.Contains(w.Header().Get("Content-Type"), "text/html") {
		t.Errorf("no page: %v", w.Header())
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "style-src 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", w.Header())
	}
	for accept, html := range map[string]bool{"application/json": false, "": false, "application/json, text/html": false, "*/*": false, "text/html": true} {
		r := request(t, "GET", "/page/x", "")
		r.Header.Set("Accept", accept)
		if w := do(router, r); strings.Contains(w.Header().Get("Content-Type"), "html") != html {
			t.Errorf("Accept %q: %s", accept, w.Header().Get("Content-Type"))
		}
	}
}

// C105: nothing informational comes before the payment is settled or the answer begins.
func TestC105_Informational(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a/secret>; rel=preload")
		for range 100 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("Link")
		io.WriteString(w, "goods")
	})
	server := httptest.NewServer(hosted(router))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	h.must(err)
	defer conn.Close()
	field := h.paid(router, "GET", "/a", "").Header.Get("Authorization")
	br := bufio.NewReader(conn)
	for _, target := range []string{"/free", "/a"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", target, realm, field)
		resp, err := http.ReadResponse(br, nil)
		h.must(err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || string(body) != "goods" || resp.Header.Get("Link") != "" {
			t.Errorf("%s: the first answer is %d %v", target, resp.StatusCode, resp.Header)
		}
	}
}

func TestC109_Parameters(t *testing.T) {
	h := newHouse(t)
	tier, err := conditional.New(conditional.Config{Rules: []conditional.Rule{{Query: map[string]string{"tier": "pro"}, Price: price(t, "5.00 USD")}}, Else: price(t, "1.00 USD")})
	h.must(err)
	pages, err := tiered.New(tiered.Config{From: tiered.Source{JSON: "pages"}, Unit: price(t, "1.00 USD"), Max: 100})
	h.must(err)
	router, err := h.gate.Router([]gate.Route{
		{ID: "tier", Pattern: "GET /tier", Pricer: tier, Handler: h.api}, {ID: "pages", Pattern: "POST /pages", Pricer: pages, Handler: h.api},
	})
	h.must(err)
	for _, tt := range []struct {
		method, target, body string
		want                 int
		amount               string
	}{
		{"GET", "/tier?tier=free", "", 402, "1.00 USD"},
		{"GET", "/tier?tier=pro", "", 402, "5.00 USD"},
		{"GET", "/tier?t%69er=pro", "", 402, "5.00 USD"},
		{"GET", "/tier?tier=free&tier=pro", "", 400, ""},
		{"GET", "/tier?tier=pro&tier=pro", "", 400, ""},
		{"GET", "/tier?" + strings.Repeat("a=1&", 101), "", 400, ""},
		{"GET", "/tier?tier=free;tier=pro", "", 400, ""},
		{"POST", "/pages", `{"pages":7}`, 402, "7.00 USD"},
		{"POST", "/pages", `{"pages":1,"pages":100}`, 400, ""},
		{"POST", "/pages", `{"pages":101}`, 400, ""},
		{"POST", "/pages", `{"pages":1}{"pages":100}`, 400, ""},
		{"POST", "/pages", `{"pages":1e2}`, 400, ""},
		{"POST", "/pages", `pages=9`, 400, ""},
	} {
		w := do(router, request(t, tt.method, tt.target, tt.body))
		if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.amount) {
			t.Errorf("%s %s %s: %d %s, want %d %s", tt.method, tt.target, tt.body, w.Code, w.Body, tt.want, tt.amount)
		}
	}
	h.untouched(t)
}

// A price that is told by the body is not told without it, and not by a field
// that does not reach the handler.
func TestC109_PricedAsServed(t *testing.T) {
	h := newHouse(t)
	pages, err := tiered.New(tiered.Config{From: tiered.Source{JSON: "pages"}, Unit: price(t, "1.00 USD"), Max: 100})
	h.must(err)
	header, err := conditional.New(conditional.Config{Rules: []conditional.Rule{{Header: map[string]string{"X-Tier": "basic"}, Price: price(t, "1.00 USD")}}, Else: price(t, "9.00 USD")})
	h.must(err)
	router, err := h.gate.Router([]gate.Route{
		{ID: "pages", Pattern: "POST /pages", Pricer: pages, Handler: h.api}, {ID: "tier", Pattern: "GET /tier", Pricer: header, Handler: h.api},
	})
	h.must(err)
	r := request(t, "POST", "/pages", `{"pages":50}`)
	r.Header.Set("Content-Digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")
	if w := do(router, r); w.Code != 402 || !strings.Contains(w.Body.String(), "50.00 USD") {
		t.Errorf("by a stated digest: %d %s", w.Code, w.Body)
	}
	hop := request(t, "GET", "/tier", "")
	hop.Header.Set("X-Tier", "basic")
	if w := do(router, hop); !strings.Contains(w.Body.String(), "1.00 USD") {
		t.Errorf("basic: %s", w.Body)
	}
	hop.Header.Set("Connection", "X-Tier")
	if w := do(router, hop); !strings.Contains(w.Body.String(), "9.00 USD") {
		t.Errorf("by a field that is taken out: %s", w.Body)
	}
	// The challenge of the cheap form does not buy the dear one.
	cheap := request(t, "GET", "/tier", "")
	cheap.Header.Set("X-Tier", "basic")
	w := do(router, cheap)
	field := h.credential(h.first(w), h.token())
	h.refused(t, present(t, router, "GET", "/tier", "", field), "")
}

func TestC110_Unmatched(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD", "POST /free": ""})
	for ask, want := range map[string]int{
		"GET /": 404, "GET /b": 404, "GET /a/": 404, "GET /A": 404, "GET /a.": 404, "GET /a%20": 404, "GET /a%3Bx": 404, "GET /a%3Fx": 404, "GET /%2561": 404, "GET /x%255c..%255ca": 404,
		"GET /free": 405, "POST /a": 405, "GET //a": 400, "GET /./a": 400, "GET /a;x": 400, "GET /x/%2e%2e/a": 400, `GET /x\a`: 400, "GET /a%00": 400, "GET /a%2f": 400, "GET /%u0061": 400,
	} {
		method, target, _ := strings.Cut(ask, " ")
		r := request(t, method, "/", "")
		r.RequestURI = target
		if w := do(router, r); w.Code != want {
			t.Errorf("%s: %d, want %d", ask, w.Code, want)
		}
	}
	h.untouched(t)
}

// Tables that name both spellings of a path mean both.
func TestNearRoutesOfOneTable(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router([]gate.Route{
		{ID: "plain", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api},
		{ID: "slash", Pattern: "GET /a/", Pricer: usd(t, "2.00 USD"), Handler: h.api},
		{ID: "upper", Pattern: "GET /A", Pricer: usd(t, "3.00 USD"), Handler: h.api},
		{ID: "ids", Pattern: "GET /items/{id}", Pricer: usd(t, "4.00 USD"), Handler: h.api},
		{ID: "all", Pattern: "/**", Free: true, Handler: h.api},
	})
	h.must(err)
	for target, want := range map[string]string{
		"/a": "plain", "/a/": "slash", "/A": "upper", "/items/ABC": "ids", "/items/a.b": "ids", "/items/caf%C3%A9": "ids", "/items/100%25": "ids",
		"/ITEMS/x": "", "/A/": "", "/elsewhere/100%25": "all", "/Elsewhere": "all", "/items": "all",
	} {
		do(router, request(t, "GET", target, ""))
		if e := <-h.events; e.Route != want {
			t.Errorf("%s went by %q, want %q", target, e.Route, want)
		}
	}
}

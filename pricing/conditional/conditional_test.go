package conditional_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"

	"paywall/money"
	"paywall/pricing/conditional"
)

func usd(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s + " USD")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(t testing.TB, target string, header http.Header) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", target, http.NoBody)
	if header != nil {
		r.Header = header
	}
	return r
}

func TestQuote(t *testing.T) {
	p, err := conditional.New(conditional.Config{
		Rules: []conditional.Rule{
			{Query: map[string]string{"tier": "pro"}, Header: map[string]string{"x-fast": "1"}, Price: usd(t, "9.00")},
			{Query: map[string]string{"tier": "pro"}, Price: usd(t, "5.00")},
			{Header: map[string]string{"X-Fast": "1"}, Price: usd(t, "3.00")},
		},
		Else: usd(t, "1.00"),
	})
	if err != nil {
		t.Fatal(err)
	}
	fast := http.Header{"X-Fast": {"1"}}
	for _, tt := range []struct {
		name, target string
		header       http.Header
		want         string // empty is no price
	}{
		{name: "none holds", target: "/", want: "1.00 USD"},
		{name: "query", target: "/?tier=pro", want: "5.00 USD"},
		{name: "header", target: "/", header: fast, want: "3.00 USD"},
		{name: "the first that holds", target: "/?tier=pro", header: fast, want: "9.00 USD"},
		{name: "another value", target: "/?tier=Pro", want: "1.00 USD"},
		{name: "another name", target: "/?Tier=pro", want: "1.00 USD"},
		{name: "escaped", target: "/?t%69er=p%72o", want: "5.00 USD"},
		{name: "empty", target: "/?tier=", want: "1.00 USD"},
		{name: "C109 twice", target: "/?tier=free&tier=pro"},
		{name: "C109 twice the same", target: "/?tier=pro&tier=pro"},
		{name: "C109 a field twice", target: "/", header: http.Header{"X-Fast": {"0", "1"}}},
		{name: "C109 twice, where an earlier rule holds already", target: "/?tier=pro", header: http.Header{"X-Fast": {"1", "1"}}},
		{name: "others may come twice", target: "/?a=1&a=2", want: "1.00 USD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, err := p.Quote(t.Context(), request(t, tt.target, tt.header), nil)
			if tt.want == "" {
				if u, ok := errors.AsType[interface {
					error
					Unpriced() string
				}](err); !ok || u.Unpriced() == "" {
					t.Errorf("%v, %v; want the client's fault", q, err)
				}
				return
			}
			if err != nil || q.Amount.String() != tt.want {
				t.Errorf("%s, %v; want %s", q.Amount, err, tt.want)
			}
		})
	}
	if n := len(p.Prices()); n != 4 {
		t.Errorf("%d prices are listed", n)
	}
}

func TestConfig(t *testing.T) {
	one := usd(t, "1.00")
	for name, cfg := range map[string]conditional.Config{
		"no else":      {Rules: []conditional.Rule{{Query: map[string]string{"a": "b"}, Price: one}}},
		"no condition": {Rules: []conditional.Rule{{Price: one}}, Else: one},
		"no price":     {Rules: []conditional.Rule{{Query: map[string]string{"a": "b"}}}, Else: one},
	} {
		if _, err := conditional.New(cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// Every quote is one of the listed prices, whatever is asked.
func TestListed(t *testing.T) {
	p, err := conditional.New(conditional.Config{
		Rules: []conditional.Rule{{Query: map[string]string{"a": "1"}, Price: usd(t, "2.00")}, {Query: map[string]string{"b": "1"}, Price: usd(t, "3.00")}}, Else: usd(t, "1.00"),
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[money.Amount]bool{}
	for _, a := range p.Prices() {
		listed[a] = true
	}
	rapid.Check(t, func(rt *rapid.T) {
		query := rapid.StringMatching(`([ab]=[01]?&?){0,4}`).Draw(rt, "query")
		q, err := p.Quote(t.Context(), request(t, "/?"+query, nil), nil)
		if err == nil && !listed[q.Amount] {
			rt.Errorf("%s is not listed", q.Amount)
		}
	})
}

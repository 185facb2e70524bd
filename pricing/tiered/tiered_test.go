package tiered_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"paywall/money"
	"paywall/pricing/tiered"
)

func usd(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s + " USD")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pricer(t testing.TB, cfg tiered.Config) *tiered.Pricer {
	t.Helper()
	p, err := tiered.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// quote is the price, or what the client is told, or the rule's own failure.
func quote(t testing.TB, p *tiered.Pricer, r *http.Request, body string) string {
	t.Helper()
	q, err := p.Quote(t.Context(), r, []byte(body))
	if u, ok := errors.AsType[interface {
		error
		Unpriced() string
	}](err); ok {
		return "unpriced: " + u.Unpriced()
	}
	if err != nil {
		return "failed: " + err.Error()
	}
	return q.Amount.String()
}

func TestSources(t *testing.T) {
	steps := []tiered.Step{{10, usd(t, "1.00")}, {100, usd(t, "5.00")}, {1000, usd(t, "20.00")}}
	for _, tt := range []struct {
		name   string
		from   tiered.Source
		target string
		header http.Header
		body   string
		want   string // a prefix
	}{
		{name: "absent", from: tiered.Source{Query: "n"}, target: "/", want: "1.00 USD"},
		{name: "first step", from: tiered.Source{Query: "n"}, target: "/?n=10", want: "1.00 USD"},
		{name: "second step", from: tiered.Source{Query: "n"}, target: "/?n=11", want: "5.00 USD"},
		{name: "last step", from: tiered.Source{Query: "n"}, target: "/?n=1000", want: "20.00 USD"},
		{name: "above", from: tiered.Source{Query: "n"}, target: "/?n=1001", want: "unpriced: the quantity is above 1000"},
		{name: "zero", from: tiered.Source{Query: "n"}, target: "/?n=0", want: "unpriced"},
		{name: "negative", from: tiered.Source{Query: "n"}, target: "/?n=-1", want: "unpriced"},
		{name: "plus", from: tiered.Source{Query: "n"}, target: "/?n=%2B5", want: "unpriced"},
		{name: "leading zero", from: tiered.Source{Query: "n"}, target: "/?n=010", want: "unpriced"},
		{name: "hex", from: tiered.Source{Query: "n"}, target: "/?n=0x10", want: "unpriced"},
		{name: "exponent", from: tiered.Source{Query: "n"}, target: "/?n=1e3", want: "unpriced"},
		{name: "fraction", from: tiered.Source{Query: "n"}, target: "/?n=1.5", want: "unpriced"},
		{name: "other digits", from: tiered.Source{Query: "n"}, target: "/?n=%EF%BC%95", want: "unpriced"},
		{name: "beyond 64 bits", from: tiered.Source{Query: "n"}, target: "/?n=18446744073709551617", want: "unpriced"},
		{name: "empty", from: tiered.Source{Query: "n"}, target: "/?n=", want: "unpriced"},
		{name: "C109 twice", from: tiered.Source{Query: "n"}, target: "/?n=1&n=1000", want: "unpriced: the quantity is given twice"},
		{name: "header", from: tiered.Source{Header: "x-n"}, target: "/", header: http.Header{"X-N": {"50"}}, want: "5.00 USD"},
		{name: "C109 header twice", from: tiered.Source{Header: "x-n"}, target: "/", header: http.Header{"X-N": {"1", "50"}}, want: "unpriced"},
		{name: "json", from: tiered.Source{JSON: "in.n"}, target: "/", body: `{"in":{"n":500}}`, want: "20.00 USD"},
		{name: "json without it", from: tiered.Source{JSON: "in.n"}, target: "/", body: `{"in":{}}`, want: "1.00 USD"},
		{name: "json, no body", from: tiered.Source{JSON: "in.n"}, target: "/", want: "1.00 USD"},
		{name: "json that is text", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":"500"}`, want: "unpriced"},
		{name: "json of null", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":null}`, want: "unpriced"},
		{name: "json twice", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":1,"n":500}`, want: "unpriced"},
		{name: "json twice, escaped", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":1,"\u006e":500}`, want: "unpriced"},
		{name: "json in another case", from: tiered.Source{JSON: "n"}, target: "/", body: `{"N":500}`, want: "1.00 USD"},
		{name: "json behind json", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":1}{"n":500}`, want: "unpriced"},
		{name: "not json", from: tiered.Source{JSON: "n"}, target: "/", body: `n=500`, want: "unpriced"},
		{name: "json with a byte order mark", from: tiered.Source{JSON: "n"}, target: "/", body: "\ufeff" + `{"n":1}`, want: "unpriced"},
		{name: "json exponent", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":1e1}`, want: "unpriced"},
		{name: "json minus zero", from: tiered.Source{JSON: "n"}, target: "/", body: `{"n":-0}`, want: "unpriced"},
		{name: "deep json", from: tiered.Source{JSON: "n"}, target: "/", body: strings.Repeat("[", 1000), want: "unpriced"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pricer(t, tiered.Config{From: tt.from, Steps: steps})
			r := httptest.NewRequestWithContext(t.Context(), "POST", tt.target, http.NoBody)
			if tt.header != nil {
				r.Header = tt.header
			}
			if got := quote(t, p, r, tt.body); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestUnit(t *testing.T) {
	p := pricer(t, tiered.Config{From: tiered.Source{Query: "n"}, Unit: usd(t, "0.03"), Max: 1000, Default: 20})
	for target, want := range map[string]string{"/": "0.60 USD", "/?n=1": "0.03 USD", "/?n=1000": "30.00 USD", "/?n=1001": "unpriced: the quantity is above 1000"} {
		if got := quote(t, p, httptest.NewRequestWithContext(t.Context(), "GET", target, http.NoBody), ""); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	if all := p.Prices(); len(all) != 2 || all[0].String() != "0.03 USD" || all[1].String() != "30.00 USD" {
		t.Errorf("lists %v", all)
	}
}

func TestConfig(t *testing.T) {
	from, one := tiered.Source{Query: "n"}, usd(t, "1.00")
	for name, cfg := range map[string]tiered.Config{
		"no source":           {Unit: one, Max: 1},
		"two sources":         {From: tiered.Source{Query: "n", JSON: "n"}, Unit: one, Max: 1},
		"neither":             {From: from},
		"both":                {From: from, Unit: one, Max: 1, Steps: []tiered.Step{{1, one}}},
		"descending":          {From: from, Steps: []tiered.Step{{2, one}, {1, one}}},
		"the same step twice": {From: from, Steps: []tiered.Step{{2, one}, {2, one}}},
		"step of nothing":     {From: from, Steps: []tiered.Step{{1, money.Amount{}}}},
		"no largest":          {From: from, Unit: one},
		"overflow":            {From: from, Unit: one, Max: 1 << 62},
		"default above":       {From: from, Unit: one, Max: 5, Default: 6},
		"default below":       {From: from, Unit: one, Max: 5, Default: -1},
		"two currencies":      {From: from, Steps: []tiered.Step{{1, one}, {2, euro(t)}}},
	} {
		if _, err := tiered.New(cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func euro(t testing.TB) money.Amount {
	t.Helper()
	a, err := money.ParsePrice("1.00 EUR")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// FuzzBody holds the price of a body to what a plain reader of JSON finds in it:
// whatever is priced above nothing's default names that quantity, once.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"n":7}`, `{"n":1,"n":2}`, `{"in":{"n":3}}`, `{"n":1e1}`, `[1]`, ``, `{"n":7}x`, "\ufeff{}", `{"n":"7"}`, `{"\u006e":7}`} {
		f.Add([]byte(s))
	}
	p := pricer(f, tiered.Config{From: tiered.Source{JSON: "n"}, Unit: usd(f, "0.01"), Max: 1 << 40, Default: 5})
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := p.Quote(t.Context(), httptest.NewRequestWithContext(t.Context(), "POST", "/", http.NoBody), body)
		if err != nil {
			if _, ok := errors.AsType[interface {
				error
				Unpriced() string
			}](err); !ok {
				t.Errorf("the rule fails by what a client sends: %v", err)
			}
			return
		}
		want := int64(5)
		if len(body) > 0 {
			var any map[string]json.RawMessage
			if json.Unmarshal(body, &any) == nil {
				if raw, ok := any["n"]; ok {
					if err := json.Unmarshal(raw, &want); err != nil {
						t.Fatalf("%q is priced %s and names no number", body, q.Amount)
					}
				}
			}
		}
		if q.Amount.Units() != want {
			t.Errorf("%q is priced %s for %d", body, q.Amount, want)
		}
	})
}

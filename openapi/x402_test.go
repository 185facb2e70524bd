package openapi_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"paywall/money"
	"paywall/openapi"
	"paywall/payment"
)

const details = `{"asset":"` + token + `","extra":{"name":"USDC","version":"2"},"maxTimeoutSeconds":60,"network":"eip155:84532",` +
	`"payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","scheme":"exact"}`

func railOffer(t *testing.T, edit func(*payment.Offer)) payment.Offer {
	t.Helper()
	amount, err := money.New(10000, "USDC", 6)
	if err != nil {
		t.Fatal(err)
	}
	o := payment.Offer{
		Method: "facilitator", Intent: "charge", Amount: amount, Network: "eip155:84532", Protocol: "x402", Hold: true,
		Details: json.RawMessage(details),
		Quote:   payment.Quote{Amount: price("0.01 USD"), Terms: payment.Terms{Account: "acct_private"}},
	}
	if edit != nil {
		edit(&o)
	}
	return o
}

// TestOfferOf: what a rail states comes through, and half of it is refused.
func TestOfferOf(t *testing.T) {
	got, err := openapi.OfferOf(railOffer(t, nil))
	want := stablecoin("0.01 USD")
	want.Intent = "charge"
	if err != nil || !cmp.Equal(want, got, cmp.Comparer(func(a, b money.Amount) bool { return a == b })) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	plain, err := openapi.OfferOf(payment.Offer{Method: "stripe", Intent: "charge", Amount: price("1.00 USD"), Details: json.RawMessage(`{"networkId":"profile_1"}`)})
	if err != nil || plain.X402 != nil || plain.Method != "stripe" || plain.Amount != price("1.00 USD") {
		t.Errorf("%+v, %v", plain, err)
	}
	for name, edit := range map[string]func(*payment.Offer){
		"no details":       func(o *payment.Offer) { o.Details = nil },
		"a list":           func(o *payment.Offer) { o.Details = json.RawMessage(`[]`) },
		"no asset":         func(o *payment.Offer) { o.Details = json.RawMessage(strings.Replace(details, "asset", "other", 1)) },
		"no scheme":        func(o *payment.Offer) { o.Details = json.RawMessage(strings.Replace(details, "scheme", "other", 1)) },
		"no address":       func(o *payment.Offer) { o.Details = json.RawMessage(strings.Replace(details, "payTo", "other", 1)) },
		"another network":  func(o *payment.Offer) { o.Network = "eip155:8453" },
		"nobody":           func(o *payment.Offer) { o.Method = "" },
		"an odd intention": func(o *payment.Offer) { o.Intent = "gift" },
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := openapi.OfferOf(railOffer(t, edit)); !errors.Is(err, openapi.ErrConfig) || got.Method != "" && got.X402 == nil {
				t.Errorf("%+v, %v, want ErrConfig", got, err)
			}
		})
	}
}

// TestPaymentInfoOfX402: the terms, and the price that directories show, over what
// may stand beside each other.
func TestPaymentInfoOfX402(t *testing.T) {
	const (
		terms = `"asset":"` + token + `","method":"facilitator","network":"eip155:84532","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","scheme":`
		exact = terms + `"exact"}`
		cents = `{"amount":"10000",` + exact
	)
	route := func(offers ...openapi.Offer) openapi.Route {
		return openapi.Route{Method: "GET", Path: "/a", Offers: offers}
	}
	card := openapi.Offer{Method: "stripe", Amount: price("0.01 USD")}
	metered := stablecoin("0.01 USD")
	metered.Metered, metered.X402.Scheme = true, "upto"
	unknown := stablecoin("0.01 USD")
	unknown.Price = money.Amount{}
	elsewhere := stablecoin("0.01 USD")
	elsewhere.X402.Network = "eip155:8453"
	tests := []struct {
		name   string
		routes []openapi.Route
		want   string
	}{
		{
			"alone",
			[]openapi.Route{route(stablecoin("0.01 USD"))},
			`{"price":{"amount":"0.01","currency":"USD","mode":"fixed"},"protocols":[{"x402":{"accepts":[` + cents + `]}}]}`,
		},
		{
			"beside a card",
			[]openapi.Route{route(card, stablecoin("0.01 USD"))},
			`{"offers":[{"amount":"1","currency":"usd","intent":"charge","method":"stripe"}],"price":{"amount":"0.01","currency":"USD","mode":"fixed"},` +
				`"protocols":[{"x402":{"accepts":[` + cents + `]}},{"mpp":{"currency":"usd","intent":"charge","method":"stripe"}}]}`,
		},
		{
			"at another price than by card",
			[]openapi.Route{route(card, stablecoin("0.02 USD"))},
			`{"offers":[{"amount":"1","currency":"usd","intent":"charge","method":"stripe"}],` +
				`"protocols":[{"x402":{"accepts":[` + strings.Replace(cents, "10000", "20000", 1) + `]}},{"mpp":{"currency":"usd","intent":"charge","method":"stripe"}}]}`,
		},
		{
			"on two networks",
			[]openapi.Route{route(stablecoin("0.01 USD"), elsewhere)},
			`{"price":{"amount":"0.01","currency":"USD","mode":"fixed"},"protocols":[{"x402":{"accepts":[` + cents + `,` + strings.Replace(cents, "84532", "8453", 1) + `]}}]}`,
		},
		{
			"metered",
			[]openapi.Route{route(metered)},
			`{"price":{"currency":"USD","max":"0.01","min":"0","mode":"dynamic"},"protocols":[{"x402":{"accepts":[{"amount":"10000",` + terms + `"upto"}]}}]}`,
		},
		{"told per request", []openapi.Route{route(stablecoin(""))}, `{"protocols":[{"x402":{"accepts":[{"amount":null,` + exact + `]}}]}`},
		{"two prices under conditions", []openapi.Route{route(stablecoin("0.01 USD")), route(stablecoin("0.02 USD"))}, `{"protocols":[{"x402":{"accepts":[{"amount":null,` + exact + `]}}]}`},
		{"in a token of which the price is not said", []openapi.Route{route(unknown)}, `{"protocols":[{"x402":{"accepts":[` + cents + `]}}]}`},
	}
	schema := parse(t, openapi.Own()).Components.Schemas["PaymentInfo"].Value
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
					Info json.RawMessage `json:"x-payment-info"`
				}
			}
			if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
				t.Fatal(err)
			}
			info := doc.Paths["/a"]["get"].Info
			if string(info) != tt.want {
				t.Errorf("x-payment-info is\n%s, want\n%s", info, tt.want)
			}
			var v any
			if err := json.Unmarshal(info, &v); err != nil {
				t.Fatal(err)
			}
			if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPrivateTermsStayPrivate: of an offer, only what payers may know is described.
func TestPrivateTermsStayPrivate(t *testing.T) {
	o, err := openapi.OfferOf(railOffer(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := openapi.Build(openapi.Config{PublicURL: "https://api.example.com", Routes: []openapi.Route{{Method: "GET", Path: "/a", Offers: []openapi.Offer{o}}}})
	if err != nil {
		t.Fatal(err)
	}
	if all := string(docs.OpenAPI) + string(docs.LLMs); strings.Contains(all, "acct_private") || !strings.Contains(all, token) {
		t.Errorf("described as\n%s", all)
	}
}

// TestLLMsSayHowX402IsPaid, in APIs that have it and in no other.
func TestLLMsSayHowX402IsPaid(t *testing.T) {
	card := openapi.Offer{Method: "stripe", Amount: price("1.00 USD")}
	tests := []struct {
		name           string
		offers         []openapi.Offer
		edit           func(*openapi.Config)
		scheme, x402   bool
		supported, buy bool
	}{
		{"cards alone", []openapi.Offer{card}, nil, true, false, false, false},
		{"both", []openapi.Offer{card, stablecoin("1.00 USD")}, nil, true, true, false, false},
		{"stablecoins alone", []openapi.Offer{stablecoin("1.00 USD")}, nil, false, true, false, false},
		{"a facilitator", []openapi.Offer{card}, func(c *openapi.Config) { c.Facilitator = true }, true, true, true, false},
		{"a catalogue", []openapi.Offer{stablecoin("1.00 USD")}, func(c *openapi.Config) { c.Catalogue = true }, false, true, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: []openapi.Route{{Method: "GET", Path: "/a", Offers: tt.offers}}}
			if tt.edit != nil {
				tt.edit(&cfg)
			}
			docs, err := openapi.Build(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for words, want := range map[string]bool{
				"WWW-Authenticate": tt.scheme, "PAYMENT-SIGNATURE": tt.x402, "/x402/supported": tt.supported, "/discovery/resources": tt.buy,
			} {
				if strings.Contains(string(docs.LLMs), words) != want {
					t.Errorf("%q is there %t in\n%s", words, !want, docs.LLMs)
				}
			}
		})
	}
}

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"paywall/internal/config"
)

// judge parses what is served with a change, and wants a problem or a warning
// that holds the text; empty wants neither.
func judge(t *testing.T, yaml, problem, warning string) {
	t.Helper()
	cfg, err := config.Parse([]byte(yaml), folder(t), lookup)
	if problem != "" {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("err = %v, want %q", err, problem)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(cfg.Warnings)
	if warning == "" && len(cfg.Warnings) > 0 || !strings.Contains(said, warning) {
		t.Errorf("warnings = %s, want %q", said, warning)
	}
}

// TestA037_NeverFreeByAccident takes the price away in every way one can think of.
func TestA037_NeverFreeByAccident(t *testing.T) {
	for price, want := range map[string]string{
		"price: 1.00 USD":                     "",
		"free: true":                          "",
		"description: nothing":                "routes[0]: has no price",
		"free: false":                         "routes[0]: has no price",
		"price: ''":                           "routes[0].price: is empty",
		"price: ~":                            "routes[0].price: is empty",
		"price: 0.00 USD":                     "a price is more than nothing",
		"price: -0.01 USD":                    "is not a price",
		"price: free":                         "is not a price",
		"price: 1.00 USD, free: true":         "the route is free and has price",
		"tiers: {query: n}":                   "either steps or unit",
		"remote: {}":                          "routes[0].remote.url: is missing",
		"free: true, remote: {url: 'https:'}": "the route is free and has remote",
		"free: 'true'":                        "is true or false, without quotes",
		"when: [{query: {a: b}, price: 1.00 USD}]": "routes[0]: has no price",
	} {
		t.Run(price, func(t *testing.T) {
			judge(t, strings.Replace(served, "price: 1.00 USD", price, 1), want, "")
		})
	}
}

// TestA038_Currencies: a code is known and in upper case, and has its own number of places.
func TestA038_Currencies(t *testing.T) {
	for price, want := range map[string]string{
		"100 JPY": "", "1.250 KWD": "", "1.00 EUR": "",
		"1.00 usd": "no known currency", "1.00 Usd": "no known currency", "'1.00 usd '": "no known currency",
		"1.00 USDC": "no known currency", "1.00 ZZZ": "no known currency", "1.00": "is not a price", "USD 1.00": "no known currency",
	} {
		t.Run(price, func(t *testing.T) {
			judge(t, strings.Replace(served, "1.00 USD", price, 1), want, "")
		})
	}
}

// TestI171_DangerousConfiguration is refused, or loud and asked for by name.
func TestI171_DangerousConfiguration(t *testing.T) {
	for _, tt := range []struct{ name, yaml, problem, warning string }{
		{name: "no TLS", yaml: "listen: :4020\npublic_url: http://api.example.com\n", problem: "is plain HTTP beyond loopback"},
		{name: "no TLS, said so", yaml: "listen: :4020\npublic_url: http://api.example.com\ninsecure_http: true\n", warning: "PLAIN HTTP"},
		{name: "no TLS behind a proxy", yaml: "listen: :4020\npublic_url: https://api.example.com\ntrusted_proxies: [10.0.0.0/24]\n"},
		{name: "all networks trusted", yaml: "trusted_proxies: [0.0.0.0/0]\n", problem: "trusts everyone"},
		{name: "all networks trusted in halves", yaml: "trusted_proxies: [0.0.0.0/1, 128.0.0.0/1]\n", problem: "trusts everyone"},
		{name: "all networks trusted as IPv6", yaml: "trusted_proxies: ['::ffff:0:0/96']\n", problem: "trusts everyone"},
		{name: "one port", yaml: "admin: {listen: 127.0.0.1:4020}\n", problem: "has the port of listen"},
		{name: "open operations", yaml: "admin: {listen: 0.0.0.0:4021}\n", problem: "is beyond loopback"},
		{name: "open operations, said so", yaml: "admin: {listen: 0.0.0.0:4021, insecure: true}\n", warning: "can refund and pause"},
	} {
		t.Run(tt.name, func(t *testing.T) { judge(t, tt.yaml+served, tt.problem, tt.warning) })
	}
	t.Run("everything free", func(t *testing.T) {
		judge(t, strings.Replace(served, "GET /a, upstream: api, price: 1.00 USD", "/**, upstream: api, free: true", 1), "", "is FREE")
	})
}

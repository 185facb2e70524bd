package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"paywall/openapi"
)

// build is [openapi.Build] of the shop in front of an upstream.
func build(t *testing.T, upstream string) (*openapi3.T, openapi.Documents) {
	t.Helper()
	cfg := openapi.Config{PublicURL: "https://api.example.com", Routes: shop()}
	if upstream != "" {
		cfg.Upstream = []byte(upstream)
	}
	docs, err := openapi.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, cfg, docs)
	return parse(t, docs.OpenAPI), docs
}

// TestPaymentInfoIsClosed: the schema of x-payment-info says no to everything
// that discovery does not know, and yes to everything that is rendered.
func TestPaymentInfoIsClosed(t *testing.T) {
	schema := parse(t, openapi.Own()).Components.Schemas["PaymentInfo"].Value
	visit := func(v any) error { return schema.VisitJSON(v, openapi3.EnableJSONSchema2020()) }
	tests := []struct {
		info string
		ok   bool
	}{
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"100","currency":"usd","description":"x"}]}`, true},
		{`{"offers":[{"intent":"session","method":"tempo","amount":null}]}`, true},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"0"}]}`, true},
		{`{"offers":[]}`, false},
		{`{}`, false},
		{`{"intent":"charge","method":"stripe","amount":"100"}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"100"}],"amount":"100"}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"100","recipient":"acct_1"}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":100}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"1.00"}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"01"}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"-1"}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe"}]}`, false},
		{`{"offers":[{"intent":"charge","amount":"1"}]}`, false},
		{`{"protocols":[{"x402":{"accepts":[{"method":"facilitator","scheme":"exact","network":"eip155:8453","asset":"0xa","payTo":"0xb","amount":"1"}]}}]}`, true},
		{`{"protocols":[{"x402":{"accepts":[]}}]}`, false},
		{`{"protocols":[{"x402":{}}]}`, false},
		{`{"protocols":[{"ap2":{}}]}`, false},
		{`{"protocols":[{"x402":{"accepts":[{"method":"facilitator","scheme":"exact","network":"base","asset":"0xa","payTo":"0xb","amount":"1"}]}}]}`, false},
		{`{"offers":[{"intent":"charge","method":"stripe","amount":"1"}],"price":{"mode":"fixed","currency":"USD","amount":"0.01"}}`, false},
		{`{"protocols":[{"mpp":{"intent":"charge","method":"stripe"}}],"price":{"mode":"fixed","currency":"usd","amount":"0.01"}}`, false},
		{`{"protocols":[{"mpp":{"intent":"charge","method":"stripe"}}],"price":{"mode":"fixed","currency":"USD","amount":"0.01"}}`, true},
		{`{"offers":[{"intent":"subscription","method":"stripe","amount":"1"}]}`, false},
	}
	for _, tt := range tests {
		var v any
		if err := json.Unmarshal([]byte(tt.info), &v); err != nil {
			t.Fatal(err)
		}
		if err := visit(v); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %t", tt.info, err, tt.ok)
		}
	}
	doc, _ := build(t, "")
	seen := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if info, sold := op.Extensions["x-payment-info"]; sold {
				seen++
				if err := visit(info); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("nothing is sold")
	}
}

// TestValidatorsAreContent: what the validators and directories of the protocol
// look for in the two documents, beyond the schema.
func TestValidatorsAreContent(t *testing.T) {
	doc, docs := build(t, "")
	if len(docs.OpenAPI) > 64<<10 {
		t.Errorf("%d bytes: directories read 64 KiB", len(docs.OpenAPI))
	}
	if strings.TrimSpace(string(docs.LLMs)) == "" {
		t.Error("llms.txt is empty")
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			required, sold := op.Responses.Status(402), op.Extensions["x-payment-info"] != nil
			if sold != (required != nil) {
				t.Errorf("%s %s: sold %t, 402 %t", method, path, sold, required != nil)
			}
			if body := method == "POST" || method == "PUT" || method == "PATCH"; body && op.RequestBody == nil {
				t.Errorf("%s %s has no schema to make a request body from", method, path)
			}
			if op.Responses.Status(200) == nil {
				t.Errorf("%s %s does not say what is bought", method, path)
			}
		}
	}
	var top struct {
		Info struct{ Title, Version string }
	}
	if err := json.Unmarshal(docs.OpenAPI, &top); err != nil || top.Info.Title != "api.example.com" || top.Info.Version == "" {
		t.Errorf("info is %+v: %v", top.Info, err)
	}
}

const internal = `{
	"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "servers": [{"url": "http://internal.example:9000/v1"}],
	"paths": {
		"/reports/{id}": {
			"servers": [{"url": "http://internal.example:9001/v1"}],
			"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
			"get": {
				"servers": [{"url": "http://internal.example:9002/v1"}],
				"responses": {"200": {"description": "ok", "links": {"self": {"operationRef": "#/paths/x", "server": {"url": "http://internal.example"}}}}},
				"callbacks": {"c": {"{$url}": {"servers": [{"url": "http://internal.example"}], "post": {"servers": [{"url": "http://internal.example"}], "responses": {"200": {"description": "ok"}}}}}}
			}
		},
		"/users": {"get": {"responses": {"200": {"description": "everybody"}}}},
		"/reports/{id}/raw": {"get": {"responses": {"200": {"description": "raw"}}}}
	},
	"webhooks": {"w": {"servers": [{"url": "http://internal.example"}], "post": {"responses": {"200": {"description": "ok"}}}}, "r": {"$ref": "#/components/pathItems/p"}},
	"components": {
		"links": {"l": {"operationRef": "#/paths/x", "server": {"url": "http://internal.example"}}},
		"responses": {"r": {"description": "r", "links": {"l": {"operationRef": "#/paths/x", "server": {"url": "http://internal.example"}}}}},
		"callbacks": {"c": {"{$url}": {"servers": [{"url": "http://internal.example"}]}, "{$other}": {"$ref": "#/components/pathItems/p"}}},
		"pathItems": {"p": {"servers": [{"url": "http://internal.example"}], "get": {"responses": {"200": {"description": "ok"}}}}}
	}
}`

// TestC100_ServersOfTheUpstream: the description does not say where the upstream is.
func TestC100_ServersOfTheUpstream(t *testing.T) {
	_, docs := build(t, internal)
	for name, text := range map[string][]byte{"openapi.json": docs.OpenAPI, "llms.txt": docs.LLMs} {
		if strings.Contains(string(text), "internal.example") {
			t.Errorf("%s names the host of the upstream:\n%s", name, text)
		}
	}
}

// TestC110_UncoveredOperations: what the gate refuses is not described.
func TestC110_UncoveredOperations(t *testing.T) {
	doc, docs := build(t, internal)
	for _, path := range []string{"/users", "/v1/users", "/v1/reports/{id}/raw"} {
		if doc.Paths.Value(path) != nil {
			t.Errorf("%s is described", path)
		}
	}
	if doc.Paths.Value("/v1/reports/{id}") == nil {
		t.Error("what is covered is gone, too")
	}
	if strings.Contains(string(docs.OpenAPI), "everybody") || strings.Contains(string(docs.OpenAPI), "pathItems") {
		t.Errorf("operations of nobody are left:\n%s", docs.OpenAPI)
	}
}

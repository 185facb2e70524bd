package ucp_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"paywall/ucp/protocol"
)

// bodies are good ones, to be made worse.
var bodies = map[string]string{
	"checkout": `{"line_items":[{"id":"li_1","item":{"id":"report"},"quantity":1},{"item":{"id":"shirt-m"},"quantity":2}],"currency":"USD","cart_id":"crt_x",` +
		`"buyer":{"email":"ada@example.com","first_name":"Ada","consent":{"marketing":true}},"context":{"address_country":"US","address_region":"CA","postal_code":"94601"},` +
		`"discounts":{"codes":["TEN","SHIRT"]},"fulfillment":{"methods":[{"id":"fm_1","type":"shipping","line_item_ids":["li_1"],"destinations":[{"id":"home","street_address":"1 Main St",` +
		`"address_locality":"Oakland","address_region":"CA","postal_code":"94601","address_country":"US"}],"selected_destination_id":"home","groups":[{"id":"g","selected_option_id":"post"}]}]},` +
		`"payment":{"instruments":[{"id":"pi_1","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"t"}}]}}`,
	"search":  `{"query":"report","filters":{"categories":["Reports"],"price":{"min":1,"max":5000}},"pagination":{"cursor":"x","limit":5}}`,
	"lookup":  `{"ids":["report","shirt-m","none"],"filters":{"categories":["Reports"]}}`,
	"product": `{"id":"shirt","selected":[{"name":"size","label":"M"}],"preferences":["size"]}`,
}

// worse changes a document at a few places.
func worse(r *rand.Rand, v any) any {
	if r.IntN(6) == 0 {
		return nasty[r.IntN(len(nasty))]
	}
	switch o := v.(type) {
	case map[string]any:
		out := maps.Clone(o)
		for _, k := range slices.Sorted(maps.Keys(o)) {
			switch r.IntN(8) {
			case 0:
				delete(out, k)
			case 1, 2:
				out[k] = worse(r, o[k])
			case 3:
				out[k+"x"] = nasty[r.IntN(len(nasty))]
			}
		}
		return out
	case []any:
		out := slices.Clone(o)
		for i := range out {
			if r.IntN(3) == 0 {
				out[i] = worse(r, out[i])
			}
		}
		if r.IntN(4) == 0 {
			out = append(out, out...)
		}
		return out
	}
	return v
}

var nasty = []any{
	nil, true, "", "x", 0, -1, 1.5, json.Number("9007199254740991"), json.Number("9007199254740993"), json.Number("9223372036854775808"), json.Number("1e308"), json.Number("-0"),
	[]any{},
	map[string]any{},
	[]any{nil},
	map[string]any{"": nil},
	strings.Repeat("y", 5000), "\u0000", "\ufffd\u202e", "report", "shirt-m", "li_1", "EUR", "US", "2026-13-40",
}

// TestRandomBodies sends 10,000 bodies to each endpoint: good ones made worse, and
// bytes. Whatever is sent, the fault is the sender's, and is said as JSON.
func TestRandomBodies(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(tools))
	for _, tool := range names {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			random(t, func(r *rand.Rand, c *client, id string) (got, string) {
				data := broken(r, worse(r, goodBody(t, tool)))
				return c.send(tools[tool].method, strings.Replace(tools[tool].path, "*", id, 1), data, ""), data
			})
		})
	}
	t.Run("mcp", func(t *testing.T) {
		t.Parallel()
		random(t, func(r *rand.Rand, c *client, id string) (got, string) {
			tool := names[r.IntN(len(names))]
			data := broken(r, worse(r, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": map[string]any{
				"id": id, tools[tool].member: goodBody(t, tool), "meta": map[string]any{"ucp-agent": map[string]any{"profile": c.agent}, "idempotency-key": "key-" + id},
			}}}))
			return c.send(http.MethodPost, "mcp", data, ""), data
		})
	})
}

func goodBody(t *testing.T, tool string) any {
	t.Helper()
	text := bodies[map[string]string{"search_catalog": "search", "lookup_catalog": "lookup", "get_product": "product"}[tool]]
	if text == "" {
		text = bodies["checkout"]
	}
	var good any
	if err := json.Unmarshal([]byte(text), &good); err != nil {
		t.Fatal(err)
	}
	return good
}

// broken writes a document, now and then with bytes in it that do not belong there.
func broken(r *rand.Rand, doc any) string {
	data, _ := json.Marshal(doc)
	for range r.IntN(4) - 2 {
		data[r.IntN(len(data))] = byte(r.Uint32())
	}
	return string(data)
}

func random(t *testing.T, send func(r *rand.Rand, c *client, id string) (got, string)) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, uint64(len(t.Name()))))
	c := &client{t: t, shop: newShop(t), v: protocol.Current, agent: agentOf(protocol.Current), header: http.Header{"X-Api-Key": {"secret-of-one"}}}
	one := c.do("create_checkout", "", `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`, "").str("id")
	seen := map[int]int{}
	for range 10_000 {
		g, data := send(r, c, []string{one, "chk_none", "x", strings.Repeat("z", 300)}[r.IntN(4)])
		if g.status >= 500 || len(g.body) > 0 && !json.Valid(g.body) {
			t.Fatalf("%s: %d %s", data, g.status, g.body)
		}
		seen[g.status/100]++
	}
	if seen[2] == 0 || seen[4] == 0 {
		t.Errorf("they are all answered alike: %v", seen)
	}
}

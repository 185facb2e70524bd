package app

import (
	"encoding/json"
	"fmt"
	"strings"

	"paywall/ucp/profile"
)

// receiptSchema is the JSON Schema of the receipt extension.
func receiptSchema(name, id string) ([]byte, error) {
	type object = map[string]any
	receipt := object{
		"type": "object", "required": []string{"line_item_id", "opens", "token", "expires_at"},
		"properties": object{
			"line_item_id": object{"type": "string", "description": "The line that it was bought with."},
			"opens":        object{"type": "string", "description": "URL, or pattern of one, of the route that it opens."},
			"token":        object{"type": "string", "description": "Signed receipt (JWT). A bearer secret: send it as Authorization: Bearer."},
			"expires_at":   object{"type": "string", "format": "date-time"},
		},
	}
	extended := func(base string) object {
		return object{"allOf": []any{
			object{"$ref": "https://ucp.dev/2026-08-25/schemas/shopping/" + base + ".json"},
			object{"type": "object", "properties": object{"receipts": object{"type": "array", "items": object{"$ref": "#/$defs/receipt"}, "ucp_request": "omit"}}},
		}}
	}
	doc := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "name": name, "version": profile.ReceiptVersion, "title": "Receipts that open priced routes",
		"$defs": object{"receipt": receipt, "dev.ucp.shopping.checkout": extended("checkout"), "dev.ucp.shopping.order": extended("order")},
	}
	if id != "" {
		doc["$id"] = id
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", name, err)
	}
	return append(data, '\n'), nil
}

// receiptSpec says the same in words.
func receiptSpec(name string) []byte {
	return []byte(strings.Join([]string{
		"# Extension " + name, "",
		"Version " + profile.ReceiptVersion + ". Extends checkout and order.", "",
		"An item may open a priced route of this server: for a number of requests, for a time, or both. A completed checkout, and an order, then have",
		"`receipts`: for each such line a signed receipt (JWT) with the URL that it opens and the time until which it does.", "",
		"Send it as `Authorization: Bearer …` with a request to that URL. Whoever has it can use it. Its signature can be verified with the keys at",
		"`/.well-known/jwks.json`. A refund or a dispute of the order's payment closes it.", "",
		"Receipts are shown to platforms that have this extension in their profile, and on the order's page, which is JSON with the same `receipts` to who",
		"sends `Accept: application/json`. They are not in order events.", "",
	}, "\n"))
}

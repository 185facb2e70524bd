package ucp

import "strings"

// listed is the answer to tools/list.
func (s *Server) listed() object {
	var tools []object
	for i := range s.ops {
		op := &s.ops[i]
		tools = append(tools, object{
			"name": op.name, "description": op.about, "inputSchema": op.input(),
			"outputSchema": object{"type": "object", "required": []string{"ucp"}, "properties": object{"ucp": object{"type": "object"}}},
			"annotations":  object{"readOnlyHint": !op.changes, "idempotentHint": true, "openWorldHint": false},
		})
	}
	return object{"tools": tools}
}

func text(about string) object { return object{"type": "string", "description": about} }

// input is the schema of a tool's arguments. Members that are not named are left alone.
func (op *operation) input() object {
	meta := object{
		"type": "object", "required": []string{"ucp-agent"},
		"properties": object{
			"ucp-agent":       object{"type": "object", "required": []string{"profile"}, "properties": object{"profile": text("URL of the agent's profile.")}},
			"idempotency-key": text("Makes a repeated call the same call."),
		},
	}
	if op.keyed {
		meta["required"] = []string{"ucp-agent", "idempotency-key"}
	}
	members := object{"meta": meta}
	required := []string{"meta"}
	if strings.Contains(op.path, "*") {
		members["id"] = text("Id of the checkout, cart or order.")
		required = append(required, "id")
	}
	if op.member != "" {
		members[op.member] = op.payload()
		required = append(required, op.member)
	}
	return object{"type": "object", "required": required, "properties": members}
}

func list(of object) object { return object{"type": "array", "items": of} }

// payload is the schema of the body.
func (op *operation) payload() object {
	switch op.name {
	case "search_catalog":
		return object{"type": "object", "properties": object{
			"query": text("Words that all have to be found."),
			"filters": object{"type": "object", "properties": object{
				"categories": list(text("Category.")),
				"price":      object{"type": "object", "properties": object{"min": object{"type": "integer"}, "max": object{"type": "integer"}}},
			}},
			"pagination": object{"type": "object", "properties": object{"cursor": object{"type": "string"}, "limit": object{"type": "integer", "minimum": 1}}},
		}}
	case "lookup_catalog":
		return object{"type": "object", "required": []string{"ids"}, "properties": object{"ids": object{"type": "array", "minItems": 1, "items": text("Id of a product or variant.")}}}
	case "get_product":
		return object{"type": "object", "required": []string{"id"}, "properties": object{"id": text("Id of a product or variant.")}}
	case "complete_checkout":
		instrument := object{
			"type": "object", "required": []string{"id", "handler_id", "type"},
			"properties": object{
				"id": text("The agent's own id of the instrument."), "handler_id": text("Id of one of the checkout's payment handlers."),
				"type": text("Type of the instrument."), "credential": object{"type": "object"},
			},
		}
		return object{"type": "object", "properties": object{"payment": object{"type": "object", "properties": object{"instruments": list(instrument)}}}}
	}
	line := object{
		"type": "object", "required": []string{"item", "quantity"},
		"properties": object{
			"id":       text("Id of a line that exists."),
			"item":     object{"type": "object", "required": []string{"id"}, "properties": object{"id": text("Id of a variant.")}},
			"quantity": object{"type": "integer", "minimum": 1},
		},
	}
	members := object{
		"line_items": list(line), "buyer": object{"type": "object"}, "context": object{"type": "object"}, "signals": object{"type": "object"},
		"attribution": object{"type": "object"}, "discounts": object{"type": "object"},
	}
	if op.member == "checkout" {
		members["fulfillment"], members["cart_id"] = object{"type": "object"}, text("Id of a cart to check out.")
	}
	return object{"type": "object", "properties": members}
}

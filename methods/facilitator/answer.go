package facilitator

import (
	"encoding/json"

	"paywall/internal/strictjson"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// A settlement is the answer to /settle.
type settlement struct {
	success                                     bool
	reason, transaction, network, payer, amount string
}

// A verdict is the answer to /verify.
type verdict struct {
	valid         bool
	reason, payer string
}

// readSettlement reports false for everything that is not an answer to /settle: a
// document without a boolean success decides nothing.
func readSettlement(body []byte) (settlement, bool) {
	m, ok := members(body)
	if !ok {
		return settlement{}, false
	}
	s := settlement{
		success: m.boolean("success"), reason: m.text("errorReason"), transaction: m.text("transaction"),
		network: m.text("network"), payer: m.text("payer"), amount: m.text("amount"),
	}
	if m.wrong {
		return settlement{}, false
	}
	return s, true
}

func readVerdict(body []byte) (verdict, bool) {
	m, ok := members(body)
	if !ok {
		return verdict{}, false
	}
	v := verdict{valid: m.boolean("isValid"), reason: m.text("invalidReason"), payer: m.text("payer")}
	if m.wrong {
		return verdict{}, false
	}
	return v, true
}

// A document is a JSON object by its members' exact names: a decoder of structs would
// take "Success" for "success".
type document struct {
	byName map[string]json.RawMessage
	wrong  bool // a member that was asked for has another type
}

func members(body []byte) (*document, bool) {
	limits := strictjson.Limits{Bytes: maxAnswer, String: maxAnswer}
	if err := strictjson.Check(body, limits); err != nil {
		return nil, false
	}
	d := &document{}
	if err := json.Unmarshal(body, &d.byName); err != nil || d.byName == nil {
		return nil, false
	}
	return d, true
}

// boolean is a member that must be there.
func (d *document) boolean(name string) bool {
	switch string(d.byName[name]) {
	case "true":
		return true
	case "false":
		return false
	}
	d.wrong = true
	return false
}

// text is a member that may be missing, or null.
func (d *document) text(name string) string {
	raw, ok := d.byName[name]
	if !ok || string(raw) == "null" {
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		d.wrong = true
	}
	return s
}

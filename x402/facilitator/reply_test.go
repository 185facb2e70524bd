package facilitator_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"paywall/x402/facilitator"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, body     string
		settle, verify bool // whether it is an answer
	}{
		{name: "a success", body: `{"success":true,"transaction":"0x1","network":"eip155:8453","payer":"0x2","extra":{"any":1}}`, settle: true},
		{name: "a refusal", body: `{"success":false,"errorReason":"insufficient_funds","transaction":"","network":""}`, settle: true},
		{name: "a verdict", body: `{"isValid":true,"payer":"0x2","invalidMessage":null}`, verify: true},
		{name: "both", body: `{"isValid":true,"success":true}`, settle: true, verify: true},
		{name: "nothing", body: ``},
		{name: "an empty object", body: `{}`},
		{name: "null", body: `null`},
		{name: "a list", body: `[{"success":true,"isValid":true}]`},
		{name: "a page", body: `<html>`},
		{name: "text", body: `{"success":"true","isValid":"true"}`},
		{name: "a number", body: `{"success":1,"isValid":1}`},
		{name: "null inside", body: `{"success":null,"isValid":null}`},
		{name: "another case", body: `{"Success":true,"IsValid":true}`},
		{name: "both cases", body: `{"success":true,"SUCCESS":false,"isValid":true,"isvalid":false}`},
		{name: "twice", body: `{"success":false,"success":true,"isValid":false,"isValid":true}`},
		{name: "and more", body: `{"success":true,"isValid":true} {}`},
		{name: "a transaction that is none", body: `{"success":true,"transaction":7}`},
		{name: "too long", body: `{"success":true,"isValid":true,"pad":"` + strings.Repeat("x", 64<<10) + `"}`},
		{name: "long", body: `{"success":true,"isValid":true,"pad":"` + strings.Repeat("x", 40<<10) + `"}`, settle: true, verify: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := facilitator.Reply{Status: 200, Body: []byte(tt.body)}
			if s, ok := facilitator.ParseSettle(r); ok != tt.settle || !ok && s.Success {
				t.Errorf("settle: %+v %v", s, ok)
			}
			if v, ok := facilitator.ParseVerify(r); ok != tt.verify || !ok && v.IsValid {
				t.Errorf("verify: %+v %v", v, ok)
			}
		})
	}
}

// FuzzReply: what parses is written and read again as the same.
func FuzzReply(f *testing.F) {
	for _, s := range []string{`{"success":true,"transaction":"0x1","network":"n"}`, `{"isValid":false,"invalidReason":"x"}`, `{"success":true,"extensions":{"a":{"b":1e5}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, ok := facilitator.ParseSettle(facilitator.Reply{Body: data}); ok {
			again, ok := facilitator.ParseSettle(facilitator.Reply{Body: must(json.Marshal(s))})
			again.Extensions, s.Extensions = nil, nil // compacted on the way
			if !ok || !reflect.DeepEqual(again, s) {
				t.Errorf("%+v, then %+v", s, again)
			}
		}
		if v, ok := facilitator.ParseVerify(facilitator.Reply{Body: data}); ok {
			if again, ok := facilitator.ParseVerify(facilitator.Reply{Body: must(json.Marshal(v))}); !ok || again != v {
				t.Errorf("%+v, then %+v", v, again)
			}
		}
	})
}

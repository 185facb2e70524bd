package mpp_test

import (
	"errors"
	"testing"

	"paywall/mpp"
)

func TestA016_StrictCredential(t *testing.T) {
	const ch = `"challenge":{"id":"i","realm":"r","method":"stripe","intent":"charge","request":"e30"}`
	for name, tt := range map[string]struct {
		in  string
		bad bool
	}{
		"plain":               {in: `{` + ch + `,"payload":{"spt":"a"},"extra":1}`},
		"A016 duplicate":      {in: `{` + ch + `,"payload":{"spt":"a","spt":"b"}}`, bad: true},
		"A016 escaped twin":   {in: `{` + ch + `,"payload":{"spt":"a","\u0073pt":"b"}}`, bad: true},
		"A017 case variant":   {in: `{` + ch + `,"payload":{},"PAYLOAD":{}}`, bad: true},
		"A018 inexact number": {in: `{` + ch + `,"payload":{"n":9007199254740993}}`, bad: true},
		"A019 lone surrogate": {in: `{` + ch + `,"payload":{"a":"\ud800"}}`, bad: true},
		"A019 bad utf-8":      {in: `{` + ch + ",\"payload\":{\"a\":\"\xff\"}}", bad: true},
		"A022 trailing":       {in: `{` + ch + `,"payload":{}}{}`, bad: true},
	} {
		_, err := mpp.ParseCredential("payment   " + mpp.EncodeBase64([]byte(tt.in)))
		if errors.Is(err, mpp.ErrMalformed) != tt.bad || !tt.bad && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mpp.ParseCredential("Payment YQ, Payment YQ"); !errors.Is(err, mpp.ErrSeveralCredentials) {
		t.Errorf("A025: %v", err)
	}
}

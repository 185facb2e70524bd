package x402_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"paywall/payment"
	"paywall/x402"
)

// named is a payment that adds an id to the echo of payment-identifier.
func named(p x402.PaymentRequired, id any) object {
	a := answer(p, 0, authorization(10000, nil))
	var echo object
	if err := json.Unmarshal(p.Extensions[x402.ExtensionIdentifier], &echo); err != nil {
		panic(err)
	}
	if id != nil {
		echo["info"].(object)["id"] = id
	}
	a["extensions"] = object{x402.ExtensionIdentifier: echo}
	return a
}

func TestIdentifier(t *testing.T) {
	good := "pay_" + strings.Repeat("x", 12)
	for _, mode := range []string{x402.IdentifierOptional, x402.IdentifierRequired} {
		d := compile(t, protocol(t, func(c *x402.Config) { c.Identifier = mode }), stable(10000))
		p := challenge(t, d)
		required := mode == x402.IdentifierRequired
		none := payment.Kind(0)
		if required {
			none = payment.KindBadRequest
		}
		for _, tt := range []struct {
			name string
			say  object
			key  string
			kind payment.Kind // zero is taken
		}{
			{"named", named(p, good), good, 0},
			{"the longest", named(p, strings.Repeat("A", 128)), strings.Repeat("A", 128), 0},
			{"no echo", answer(p, 0, authorization(10000, nil)), "", none},
			{"echo without one", named(p, nil), "", none},
			{"short", named(p, strings.Repeat("x", 15)), "", payment.KindBadRequest},
			{"long", named(p, strings.Repeat("x", 129)), "", payment.KindBadRequest},
			{"empty", named(p, ""), "", payment.KindBadRequest},
			{"other letters", named(p, good+"é"), "", payment.KindBadRequest},
			{"a space", named(p, good+" "), "", payment.KindBadRequest},
			{"a number", named(p, 1234567890123456), "", payment.KindBadRequest},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				c, err := d.Credential(signed(tt.say), scope(), began)
				if tt.kind == 0 {
					if err != nil || c.Key != tt.key {
						t.Errorf("key %q, %v", c.Key, err)
					}
					return
				}
				e := refusal(t, err)
				if e.Kind != tt.kind || c.ChallengeID != "" {
					t.Errorf("%v", e)
				}
				if status, err := d.Refuse(http.Header{}, signed(tt.say), scope(), e, began); status != http.StatusBadRequest || err != nil {
					t.Errorf("status %d, %v", status, err)
				}
			})
		}
		if v1 := len(d.Members(&http.Request{}, scope(), nil)) > 0; v1 == required {
			t.Errorf("%s: version 1 is offered: %v", mode, v1)
		}
	}
}

// The name is what a reader of the chain does not know: it is part of the credential's
// hash, and of nothing that decides what is paid.
func TestIdentifier_TellsThePayer(t *testing.T) {
	d := compile(t, protocol(t, func(c *x402.Config) { c.Identifier = x402.IdentifierOptional }), stable(10000))
	p := challenge(t, d)
	one := must(d.Credential(signed(named(p, strings.Repeat("a", 16))), scope(), began))
	two := must(d.Credential(signed(named(p, strings.Repeat("b", 16))), scope(), began))
	bare := must(d.Credential(signed(answer(p, 0, authorization(10000, nil))), scope(), began))
	if one.Hash == two.Hash || one.Hash == bare.Hash || one.ChallengeID != two.ChallengeID || bare.ChallengeID != one.ChallengeID ||
		one.Key == two.Key || one.Public || !bare.Public {
		t.Errorf("%+v and %+v and %+v", one, two, bare)
	}
	proto := protocol(t, func(c *x402.Config) { c.Identifier = x402.IdentifierOptional })
	if h, err := proto.Fingerprint(signed(named(p, strings.Repeat("a", 16))).Header); err != nil || h != one.Hash {
		t.Errorf("fingerprint %q, %v; want %q", h, err, one.Hash)
	}
}

func TestConfig_Extensions(t *testing.T) {
	for name, change := range map[string]func(*x402.Config){
		"identifier": func(c *x402.Config) { c.Identifier = "maybe" },
		"short key":  func(c *x402.Config) { c.SignInKey = make([]byte, 31) },
		"given twice": func(c *x402.Config) {
			c.Identifier, c.Extensions = x402.IdentifierOptional, []x402.Extension{named2{}}
		},
	} {
		c := config()
		change(&c)
		if _, err := x402.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// named2 has the name of another.
type named2 struct{ plain }

func (named2) ID() string { return x402.ExtensionIdentifier }

// A name that is taken has the form that was declared, and is the one that was sent.
func FuzzIdentifier(f *testing.F) {
	d := compile(f, protocol(f, func(c *x402.Config) { c.Identifier = x402.IdentifierOptional }), stable(10000))
	p := challenge(f, d)
	form := regexp.MustCompile(`^[a-zA-Z0-9_-]{16,128}$`)
	for _, s := range []string{`"abcdefghijklmnop"`, `"short"`, `null`, `{}`, `"abcdefghijklmno\n"`, `"\u0061bcdefghijklmnop"`, `[]`, `"abcdefghijklmnop","id":"bcdefghijklmnopq"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if strings.ContainsAny(id, "\r\n") {
			return
		}
		a := `{"x402Version":2,"accepted":` + string(must(json.Marshal(p.Accepts[0]))) + `,"payload":` + string(must(json.Marshal(authorization(10000, nil)))) +
			`,"extensions":{"payment-identifier":{"info":{"required":false,"id":` + id + `}}}}`
		c, err := d.Credential(request(x402.HeaderSignature, b64(a)), scope(), began)
		if err != nil {
			refusal(t, err)
			return
		}
		var echo struct {
			Extensions map[string]struct{ Info struct{ ID *string } }
		}
		if err := json.Unmarshal([]byte(a), &echo); err != nil {
			t.Fatalf("%q is no JSON and was taken", id)
		}
		sent := echo.Extensions[x402.ExtensionIdentifier].Info.ID
		if c.Key != "" && (!form.MatchString(c.Key) || sent == nil || *sent != c.Key) || c.Key == "" && sent != nil {
			t.Errorf("%q is taken as %q", id, c.Key)
		}
	})
}

package mpp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

// attack is one spoilt credential for a request that is otherwise in order.
type attack struct {
	name string
	// echo spoils the decoded credential; raw the field itself.
	echo func(c map[string]any)
	raw  func(field string) string
	// live changes the request that it is presented for.
	live func(s *payment.Scope)
	at   time.Duration // after issue
	want payment.Kind
	ok   bool // it is no attack, and must pass
}

func run(t *testing.T, attacks []attack) {
	t.Helper()
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			s := bodyScope()
			m := echo(t, challenges(t, d, s)[0], spt)
			if tt.echo != nil {
				c, ok := m["challenge"].(map[string]any)
				if !ok {
					t.Fatal("no challenge")
				}
				c["@"] = m // the whole credential, for rows that need it
				tt.echo(c)
				delete(c, "@")
			}
			f := field(t, m)
			if tt.raw != nil {
				f = tt.raw(f)
			}
			if tt.live != nil {
				tt.live(&s)
			}
			got, err := present(d, s, began.Add(tt.at), f)
			if tt.ok {
				if err != nil || string(got.Payload) != spt || got.Scope != s || got.Protocol != "mpp" || got.Offer.Amount.Units() != 100 {
					t.Errorf("credential %+v, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			if k := kindOf(t, err); k != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func with(name string, v any) func(map[string]any) {
	return func(c map[string]any) {
		if v == nil {
			delete(c, name)
		} else {
			c[name] = v
		}
	}
}

const invalid, malformed = payment.KindInvalidChallenge, payment.KindMalformedCredential

func TestA001_OtherRequest(t *testing.T) {
	run(t, []attack{
		{name: "as issued", ok: true},
		{name: "A001 other path", live: func(s *payment.Scope) { s.Target = "/b?x=1" }, want: invalid},
		{name: "A001 other route", live: func(s *payment.Scope) { s.Route = "q" }, want: invalid},
		{name: "A002 other method", live: func(s *payment.Scope) { s.Method = "GET" }, want: invalid},
		{name: "A003 other query", live: func(s *payment.Scope) { s.Target = "/a?x=2" }, want: invalid},
		{name: "A003 no query", live: func(s *payment.Scope) { s.Target = "/a" }, want: invalid},
		{name: "A003 one more parameter", live: func(s *payment.Scope) { s.Target = "/a?x=1&y=1" }, want: invalid},
		{name: "A004 other tenant", live: func(s *payment.Scope) { s.Tenant = "u" }, want: invalid},
		{name: "A028 other body", live: func(s *payment.Scope) { s.Digest = mpp.Digest([]byte("bodz")) }, want: invalid},
		{name: "A030 no body", live: func(s *payment.Scope) { s.Digest = "" }, want: invalid},
	})
}

func TestA005_EchoAltered(t *testing.T) {
	dearer := mpp.EncodeBase64([]byte(`{"amount":"1","currency":"usd","methodDetails":{"networkId":"profile_1","paymentMethodTypes":["card","link"]}}`))
	run(t, []attack{
		{name: "A005 other realm", echo: with("realm", "evil.example.com"), want: invalid},
		{name: "A005 realm in capitals", echo: with("realm", "API.example.com"), want: invalid},
		{name: "A006 other method", echo: with("method", "tempo"), want: invalid},
		{name: "A006 other intent", echo: with("intent", "session"), want: invalid},
		{name: "A007 other amount", echo: with("request", dearer), want: invalid},
		{name: "A007 request of nothing", echo: with("request", "e30"), want: invalid},
		{name: "A012 expires dropped", echo: with("expires", nil), want: invalid},
		{name: "A012 expires empty", echo: with("expires", ""), want: invalid},
		{name: "A012 digest dropped", echo: with("digest", nil), want: invalid},
		{name: "A012 opaque dropped", echo: with("opaque", nil), want: invalid},
		{name: "A012 digest in the place of expires", echo: func(c map[string]any) { c["expires"], c["digest"] = c["digest"], c["expires"] }, want: invalid},
		{name: "A012 digest moved before opaque", echo: func(c map[string]any) {
			c["opaque"] = fmt.Sprint(c["digest"]) + "|" + fmt.Sprint(c["opaque"])
			delete(c, "digest")
		}, want: invalid},
		{name: "A012 header added", echo: with("header", "Payment-Authorization"), want: invalid},
		{name: "A012 the default header named", echo: with("header", "Authorization"), want: invalid},
		{name: "A029 other algorithm", echo: with("digest", "sha-512=:AA==:"), want: invalid},
		{name: "A029 bare digest", echo: func(c map[string]any) {
			c["digest"] = strings.ReplaceAll(fmt.Sprint(c["digest"]), ":", "")
		}, want: invalid},
		{name: "A029 two digests", echo: func(c map[string]any) {
			c["digest"] = fmt.Sprint(c["digest"]) + ", sha-512=:AA==:"
		}, want: invalid},
		{name: "A015 description of markup", echo: with("description", "<script>alert(1)</script>"), ok: true},
		{name: "A015 no description", echo: with("description", nil), ok: true},
		{name: "unknown member in the challenge", echo: with("extra", "x"), ok: true},
		{name: "unknown member beside it", echo: func(c map[string]any) { set(c, "extra", map[string]any{"a": 1}) }, ok: true},
		{name: "source", echo: func(c map[string]any) { set(c, "source", "did:example:1") }, ok: true},
	})
}

// set puts a member into the credential of which c is the challenge.
func set(c map[string]any, name string, v any) {
	if m, ok := c["@"].(map[string]any); ok {
		m[name] = v
	}
}

func TestA009_ForgedID(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	s := bodyScope()
	c := challenges(t, d, s)[0]
	ids := map[string]string{
		"zero": strings.Repeat("A", 43), "random": "j-rtGkBXCNjxqk3iYmGCpyezEegOB1Vy0yc8M7-8xQU", "extended": c.ID + "A", "padded": c.ID + "=",
		"another challenge's": challenges(t, d, s)[0].ID,
	}
	for n := 1; n < len(c.ID); n++ {
		ids[fmt.Sprintf("cut to %d", n)] = c.ID[:n]
	}
	raw, err := mpp.DecodeBase64(c.ID)
	if err != nil || len(raw) != 32 {
		t.Fatalf("id of %d bytes, %v", len(raw), err)
	}
	for bit := range 8 * len(raw) {
		flipped := bytes.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		ids[fmt.Sprintf("bit %d", bit)] = mpp.EncodeBase64(flipped)
	}
	for name, id := range ids {
		forged := c
		forged.ID = id
		_, err := present(d, s, began, field(t, echo(t, forged, spt)))
		if err == nil || kindOf(t, err) != invalid {
			t.Errorf("A009/A010 %s: %v", name, err)
		}
	}
	m := echo(t, c, spt)
	m["challenge"].(map[string]any)["id"] = ""
	if _, err := present(d, s, began, field(t, m)); err == nil || kindOf(t, err) != malformed {
		t.Errorf("A009 empty: %v", err)
	}
}

func TestA009_OtherKeyInOpaque(t *testing.T) {
	d := compile(t, mpp.Config{Keys: ring(t, "k1", "k2")}, offer(t, "stripe", 100))
	s := bodyScope()
	c := challenges(t, d, s)[0]
	opaque, err := mpp.DecodeBase64(c.Opaque)
	if err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]string{"another of ours": `"k":"k2"`, "unknown": `"k":"zz"`, "empty": `"k":""`, "long": `"k":"` + strings.Repeat("a", 4000) + `"`} {
		forged := c
		forged.Opaque = mpp.EncodeBase64(bytes.Replace(opaque, []byte(`"k":"k1"`), []byte(now), 1))
		_, err := present(d, s, began, field(t, echo(t, forged, spt)))
		if err == nil || kindOf(t, err) != invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestA011_FieldBoundary: no two tuples of accepted values share one MAC input.
func TestA011_FieldBoundary(t *testing.T) {
	good := mpp.Challenge{Realm: "a", Method: "stripe", Intent: "charge", Request: "e30"}
	for name, edit := range map[string]func(c *mpp.Challenge, v string){
		"realm": func(c *mpp.Challenge, v string) { c.Realm = v }, "method": func(c *mpp.Challenge, v string) { c.Method = v },
		"intent": func(c *mpp.Challenge, v string) { c.Intent = v }, "request": func(c *mpp.Challenge, v string) { c.Request = v },
		"expires": func(c *mpp.Challenge, v string) { c.Expires = v }, "digest": func(c *mpp.Challenge, v string) { c.Digest = v },
		"opaque": func(c *mpp.Challenge, v string) { c.Opaque = v },
	} {
		for _, bad := range []string{"a|b", "|", "a\x00", "a\nb", "a\rb", "a\x7f", "a\tb"} {
			c := good
			edit(&c, bad)
			if _, err := mpp.ComputeID(bytes.Repeat([]byte("s"), 32), c); !errors.Is(err, mpp.ErrSlot) {
				t.Errorf("%s %q: %v, want ErrSlot", name, bad, err)
			}
			c.ID = strings.Repeat("A", 43)
			if mpp.VerifyID(bytes.Repeat([]byte("s"), 32), c) {
				t.Errorf("%s %q verifies", name, bad)
			}
		}
	}
	for _, header := range []string{"X", "payment-authorization", "Payment-Authorization|"} {
		c := good
		c.Header = header
		if _, err := mpp.ComputeID(nil, c); !errors.Is(err, mpp.ErrSlot) {
			t.Errorf("header %q: %v", header, err)
		}
	}
	for _, bad := range []string{"a|b", "a\nb", `a"b` + "\x00"} {
		if _, err := protocol(t, mpp.Config{}).Compile(bad, []payment.Offer{offer(t, "stripe", 100)}); !errors.Is(err, payment.ErrNotOffered) {
			t.Errorf("compiled for realm %q: %v", bad, err)
		}
	}
	// What is in the credential may hold anything; it just never verifies.
	run(t, []attack{
		{name: "realm with a bar", echo: with("realm", "api.example.com|stripe"), want: invalid},
		{name: "expires with a bar", echo: with("expires", "2026-11-01T12:05:00Z|x"), want: invalid},
	})
}

func TestA013_Expires(t *testing.T) {
	const ttl = 5 * time.Minute
	run(t, []attack{
		{name: "a second before", at: ttl - time.Second, ok: true},
		{name: "a nanosecond before", at: ttl - 1, ok: true},
		{name: "at the instant", at: ttl, want: payment.KindPaymentExpired},
		{name: "a second after", at: ttl + time.Second, want: payment.KindPaymentExpired},
		{name: "offset for Z", echo: with("expires", "2026-11-01T12:05:00+00:00"), want: invalid},
		{name: "small z", echo: with("expires", "2026-11-01T12:05:00z"), want: invalid},
		{name: "small t", echo: with("expires", "2026-11-01t12:05:00Z"), want: invalid},
		{name: "nanoseconds", echo: with("expires", "2026-11-01T12:05:00.000000000Z"), want: invalid},
		{name: "no seconds", echo: with("expires", "2026-11-01T12:05Z"), want: invalid},
		{name: "leap second", echo: with("expires", "2026-11-01T12:04:60Z"), want: invalid},
		{name: "the year 9999", echo: with("expires", "9999-12-31T23:59:59Z"), want: invalid},
		{name: "a number", echo: with("expires", 1793534700), want: malformed},
		{name: "null", echo: func(c map[string]any) { c["expires"] = json.RawMessage("null") }, want: malformed},
	})
	d := compile(t, mpp.Config{TTL: time.Second}, offer(t, "stripe", 100))
	s := bodyScope()
	c := challenges(t, d, s)[0]
	if c.Expires != "2026-11-01T12:00:01Z" {
		t.Errorf("expires %s", c.Expires)
	}
	got, err := present(d, s, began.Add(time.Hour), field(t, echo(t, c, spt)))
	if err == nil || kindOf(t, err) != payment.KindPaymentExpired || got.ChallengeID != c.ID || got.Hash == "" {
		t.Errorf("an expired credential is returned for what it began: %+v, %v", got, err)
	}
}

// TestA016_HostileJSON: bytes that two readers may read in two ways.
func TestA016_HostileJSON(t *testing.T) {
	edit := func(old, now string) func(string) string {
		return func(f string) string {
			b, err := mpp.DecodeBase64(strings.TrimPrefix(f, "Payment "))
			if err != nil || !bytes.Contains(b, []byte(old)) {
				return "Payment !" + old
			}
			return "Payment " + mpp.EncodeBase64(bytes.Replace(b, []byte(old), []byte(now), 1))
		}
	}
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	run(t, []attack{
		{name: "A016 token twice", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","spt":"spt_b"`), want: malformed},
		{name: "A016 token twice, first forged", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_b","spt":"spt_secret"`), want: malformed},
		{name: "A016 payload twice", raw: edit(`"payload":{`, `"payload":{"spt":"b"},"payload":{`), want: malformed},
		{name: "A016 id twice", raw: edit(`"id":`, `"id":"x","id":`), want: malformed},
		{name: "A016 challenge twice", raw: edit(`"challenge":{`, `"challenge":{},"challenge":{`), want: malformed},
		{name: "A016 twin in escapes", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","\u0073pt":"b"`), want: malformed},
		{name: "A017 PAYLOAD beside", raw: edit(`"payload":{`, `"PAYLOAD":{"spt":"b"},"payload":{`), want: malformed},
		{name: "A017 long s", raw: edit(`"challenge":{`, `"ſource":"b","challenge":{`), want: malformed},
		{name: "A017 Kelvin sign", raw: edit(`"id":`, "\"di\u212Aest\":\"b\",\"ID\":\"x\",\"id\":"), want: malformed},
		{name: "A018 number for id", echo: with("id", 7), want: malformed},
		{name: "A018 2^53+1", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","n":9007199254740993`), want: malformed},
		{name: "A018 10^400", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","n":1e400`), want: malformed},
		{name: "A018 leading zero", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","n":0100`), want: malformed},
		{name: "A018 hexadecimal", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","n":0x64`), want: malformed},
		{name: "A019 invalid utf-8", raw: edit(`spt_secret`, "spt_\xff"), want: malformed},
		{name: "A019 lone surrogate", raw: edit(`spt_secret`, `spt_\ud800`), want: malformed},
		{name: "A019 low surrogate first", raw: edit(`spt_secret`, `spt_\udc00\ud800`), want: malformed},
		{name: "A019 byte order mark", raw: edit(`{"challenge"`, "\ufeff{\"challenge\""), want: malformed},
		{name: "A019 raw NUL", raw: edit(`spt_secret`, "spt_\x00"), want: malformed},
		{name: "A021 white space inside", raw: func(f string) string { return f[:40] + "\n" + f[40:] }, want: malformed},
		{name: "A021 percent encoding", raw: func(f string) string { return f + "%3D" }, want: malformed},
		{name: "A021 padding in the middle", raw: func(f string) string { return f[:40] + "=" + f[40:] }, want: malformed},
		{name: "A022 two objects", raw: edit(`{"challenge"`, `{}{"challenge"`), want: malformed},
		{name: "A022 trailing data", raw: func(f string) string {
			b, _ := mpp.DecodeBase64(strings.TrimPrefix(f, "Payment "))
			return "Payment " + mpp.EncodeBase64(append(b, "x"...))
		}, want: malformed},
		{name: "A022 an array", raw: func(string) string { return "Payment " + mpp.EncodeBase64([]byte("[]")) }, want: malformed},
		{name: "A022 utf-16", raw: func(string) string { return "Payment " + mpp.EncodeBase64([]byte("{\x00}\x00")) }, want: malformed},
		{name: "A022 nothing", raw: func(string) string { return "Payment " + mpp.EncodeBase64(nil) + "A" }, want: malformed},
		{name: "A023 depth", raw: func(string) string { return "Payment " + mpp.EncodeBase64([]byte(deep)) }, want: malformed},
		{name: "A023 depth that fits", raw: edit(`"spt":"spt_secret"`, `"spt":"spt_secret","d":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)), want: malformed},
		{name: "payload is no object", raw: edit(`"payload":{"spt":"spt_secret"}`, `"payload":"spt_secret"`), want: malformed},
		{name: "payload is null", raw: edit(`"payload":{"spt":"spt_secret"}`, `"payload":null`), want: malformed},
		{name: "no payload", raw: edit(`"payload":{"spt":"spt_secret"}`, `"x":1`), want: malformed},
		{name: "no challenge", raw: edit(`"challenge":{`, `"x":{`), want: malformed},
		{name: "challenge is null", echo: func(c map[string]any) { set(c, "challenge", nil) }, want: malformed},
	})
}

// TestA018_RequestOfAnotherSpelling: the MAC is over wire bytes, so that no other
// spelling of a request verifies.
func TestA018_RequestOfAnotherSpelling(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	s := bodyScope()
	c := challenges(t, d, s)[0]
	b, err := c.RequestObject()
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]string{
		"A018 number":          strings.Replace(string(b), `"100"`, `100`, 1),
		"A018 leading zero":    strings.Replace(string(b), `"100"`, `"0100"`, 1),
		"A018 decimals":        strings.Replace(string(b), `"100"`, `"100.0"`, 1),
		"A018 exponent":        strings.Replace(string(b), `"100"`, `"1e2"`, 1),
		"A018 full width":      strings.Replace(string(b), `"100"`, "\"\uff11\uff10\uff10\"", 1),
		"A020 white space":     strings.Replace(string(b), `:`, `: `, 1),
		"A020 escapes":         strings.Replace(string(b), `"100"`, `"\u0031\u0030\u0030"`, 1),
		"A020 order":           strings.Replace(string(b), `"amount":"100","currency":"usd"`, `"currency":"usd","amount":"100"`, 1),
		"A016 amount twice":    strings.Replace(string(b), `"amount"`, `"amount":"1","amount"`, 1),
		"A038 currency folded": strings.Replace(string(b), `usd`, `USD`, 1),
		"A038 currency spaced": strings.Replace(string(b), `usd`, `usd `, 1),
	} {
		if request == string(b) {
			t.Fatalf("%s: not another spelling", name)
		}
		m := echo(t, c, spt)
		m["challenge"].(map[string]any)["request"] = mpp.EncodeBase64([]byte(request))
		if _, err := present(d, s, began, field(t, m)); err == nil || kindOf(t, err) != invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spelling := range map[string]string{
		"A021 padded": base64.URLEncoding.EncodeToString(b), "A021 standard alphabet": base64.StdEncoding.EncodeToString(b) + " ",
		"A021 trailing bits": c.Request[:len(c.Request)-1] + "_",
	} {
		m := echo(t, c, spt)
		m["challenge"].(map[string]any)["request"] = spelling
		if _, err := present(d, s, began, field(t, m)); spelling != c.Request && (err == nil || kindOf(t, err) != invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestA021_OneCredentialOneHash: spellings that are tolerated are one credential.
func TestA021_OneCredentialOneHash(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	p := protocol(t, mpp.Config{})
	s := bodyScope()
	m := echo(t, challenges(t, d, s)[0], `{"a":"?>?>","spt":"spt_1"}`)
	f := field(t, m)
	b, err := mpp.DecodeBase64(strings.TrimPrefix(f, "Payment "))
	if err != nil {
		t.Fatal(err)
	}
	first, err := present(d, s, began, f)
	if err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(m, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	for name, spelling := range map[string]string{
		"A026 small letters": "payment" + strings.TrimPrefix(f, "Payment"), "A026 capitals": "PAYMENT" + strings.TrimPrefix(f, "Payment"),
		"A026 spaces": "Payment    " + strings.TrimPrefix(f, "Payment "), "A026 tab": "Payment\t" + strings.TrimPrefix(f, "Payment "),
		"A026 trailing comma": f + ",", "A026 leading comma": " , " + f, "A026 trailing space": f + "  ",
		"A021 padded":            "Payment " + base64.URLEncoding.EncodeToString(b),
		"A021 standard alphabet": "Payment " + base64.StdEncoding.EncodeToString(b),
		"pretty JSON":            "Payment " + mpp.EncodeBase64(pretty),
		"escaped token":          "Payment " + mpp.EncodeBase64(bytes.Replace(b, []byte("spt_1"), []byte(`\u0073pt_1`), 1)),
		"beside a bearer":        "Bearer abc, " + f,
		"beside a quoted scheme": `Digest username="Payment x, y", ` + f,
	} {
		got, err := present(d, s, began, spelling)
		if err != nil || got.Hash != first.Hash || got.ChallengeID != first.ChallengeID || !bytes.Equal(got.Payload, first.Payload) {
			t.Errorf("%s: %v", name, err)
		}
		if hash, err := p.Fingerprint(http.Header{"Authorization": {spelling}}); err != nil || hash != first.Hash {
			t.Errorf("%s: fingerprint %s, %v", name, hash, err)
		}
	}
	m["payload"] = map[string]any{"a": "?>?>", "spt": "spt_2"}
	if other, err := present(d, s, began, field(t, m)); err != nil || other.Hash == first.Hash {
		t.Errorf("another token has hash %s, %v", other.Hash, err)
	}
}

func TestFingerprintOfNothing(t *testing.T) {
	p := protocol(t, mpp.Config{})
	for _, h := range []http.Header{
		{},
		{"Authorization": {"Bearer x"}},
		{"Authorization": {"Payment"}},
		{"Authorization": {"Payment !"}},
		{"Authorization": {"Payment YQ", "Payment YQ"}},
	} {
		if got, err := p.Fingerprint(h); got != "" || !errors.Is(err, payment.ErrNoCredential) {
			t.Errorf("%v: %q, %v", h, got, err)
		}
	}
}

func TestA024_Size(t *testing.T) {
	s := bodyScope()
	for _, tt := range []struct {
		max, size int
		ok        bool
	}{
		{0, 4 << 10, true},
		{0, 8 << 10, true},
		{0, 8<<10 + 1, false},
		{16 << 10, 16 << 10, true},
		{16 << 10, 16<<10 + 1, false},
		{16 << 10, 200 << 10, false},
	} {
		d := compile(t, mpp.Config{MaxCredential: tt.max}, offer(t, "stripe", 100))
		c := challenges(t, d, s)[0]
		m := echo(t, c, spt)
		m["pad"] = ""
		f, pad := field(t, m), 0
		for len(f)-len("Payment ") < tt.size {
			pad += max((tt.size-(len(f)-len("Payment ")))*3/4, 1)
			m["pad"] = strings.Repeat("x", pad)
			f = field(t, m)
		}
		// Base64 has no value of some lengths; then it is the next longer one.
		if got := len(f) - len("Payment "); got > tt.size+1 || tt.ok && got > tt.size {
			t.Fatalf("made %d bytes for %d", got, tt.size)
		}
		_, err := present(d, s, began, f)
		if tt.ok != (err == nil) || err != nil && kindOf(t, err) != malformed {
			t.Errorf("%d bytes with a limit of %d: %v", tt.size, tt.max, err)
		}
	}
	for _, bad := range []int{1, 4<<10 - 1, 16<<10 + 1} {
		if _, err := mpp.New(mpp.Config{Keys: ring(t, "k1"), MaxCredential: bad}); err == nil {
			t.Errorf("a limit of %d is accepted", bad)
		}
	}
}

func TestA025_SeveralCredentials(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	s := bodyScope()
	f := field(t, echo(t, challenges(t, d, s)[0], spt))
	for name, h := range map[string]http.Header{
		"two lines":               {"Authorization": {f, f}},
		"one merged line":         {"Authorization": {f + ", " + f}},
		"the second is nonsense":  {"Authorization": {f + ", Payment x"}},
		"behind a bearer":         {"Authorization": {"Bearer x, " + f + ",payment y"}},
		"both fields":             {"Authorization": {f}, "Payment-Authorization": {f}},
		"both, one not asked for": {"Authorization": {"Payment x"}, "Payment-Authorization": {f}},
	} {
		_, err := d.Credential(&http.Request{Header: h}, s, began)
		if err == nil || kindOf(t, err) != payment.KindBadRequest || !errors.Is(err, mpp.ErrSeveralCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		if !protocol(t, mpp.Config{}).Presents(h) {
			t.Errorf("%s: nothing presented", name)
		}
	}
}

func TestPresents(t *testing.T) {
	p := protocol(t, mpp.Config{})
	for field, want := range map[string]bool{
		"": false, "Payment": false, "Payment ": false, "Bearer x": false, "PaymentX y": false, `Digest a="Payment x"`: false,
		"Payment x": true, "payment\tx": true, "Bearer x, Payment y": true, "Payment !!": true,
	} {
		if got := p.Presents(http.Header{"Authorization": {field}}); got != want {
			t.Errorf("%q: %v", field, got)
		}
		if got := p.Presents(http.Header{"Payment-Authorization": {field}}); got != want {
			t.Errorf("%q beside: %v", field, got)
		}
	}
	h := http.Header{"Authorization": {"Bearer " + strings.Repeat("x", 2000)}}
	if n := testing.AllocsPerRun(100, func() { p.Presents(h) }); n > 0 {
		t.Errorf("looking for a credential takes %v allocations", n)
	}
}

func TestNoCredential(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	for _, f := range []string{"Bearer x", "Payment", "Payment "} {
		_, err := present(d, bodyScope(), began, f)
		if !errors.Is(err, payment.ErrNoCredential) || kindOf(t, err) != payment.KindPaymentRequired {
			t.Errorf("%q: %v", f, err)
		}
	}
}

func TestA031_SameInstantTwoBuyers(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	seen := map[string]bool{}
	for range 1000 {
		c := challenges(t, d, bodyScope())[0]
		if seen[c.ID] || seen[c.Opaque] {
			t.Fatal("two buyers share a challenge")
		}
		seen[c.ID], seen[c.Opaque] = true, true
	}
}

func TestNonceFails(t *testing.T) {
	d := compile(t, mpp.Config{Rand: strings.NewReader("short")}, offer(t, "stripe", 100))
	h := http.Header{}
	if err := d.Challenge(h, &http.Request{Header: http.Header{}}, bodyScope(), began); err == nil || len(h["Www-Authenticate"]) > 0 {
		t.Errorf("a challenge without a nonce: %v, %v", h, err)
	}
}

func TestA032_KeyRotation(t *testing.T) {
	s := bodyScope()
	o := offer(t, "stripe", 100)
	f := field(t, echo(t, challenges(t, compile(t, mpp.Config{Keys: ring(t, "k1")}, o), s)[0], spt))
	for name, tt := range map[string]struct {
		keys *mpp.KeyRing
		ok   bool
	}{
		"the same":           {ring(t, "k1"), true},
		"rotated":            {ring(t, "k2", "k1"), true},
		"rotated twice":      {ring(t, "k3", "k2", "k1"), true},
		"revoked":            {ring(t, "k2"), false},
		"revoked, rotated":   {ring(t, "k3", "k2"), false},
		"same name, new key": {other(t), false},
	} {
		_, err := present(compile(t, mpp.Config{Keys: tt.keys}, o), s, began, f)
		if tt.ok != (err == nil) || err != nil && kindOf(t, err) != invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c := challenges(t, compile(t, mpp.Config{Keys: ring(t, "k2", "k1")}, o), s)[0]; !strings.HasPrefix(string(decode(t, c.Opaque)), `{"k":"k2",`) {
		t.Errorf("issued under %s", decode(t, c.Opaque))
	}
}

func other(t *testing.T) *mpp.KeyRing {
	t.Helper()
	r, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte("z"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := mpp.DecodeBase64(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestA033_WeakKeys(t *testing.T) {
	strong := bytes.Repeat([]byte("s"), 32)
	for name, keys := range map[string][]mpp.Key{
		"short": {{ID: "a", Secret: strong[:31]}}, "blank": {{ID: "a"}}, "no id": {{Secret: strong}}, "odd id": {{ID: "a b", Secret: strong}},
		"long id": {{ID: strings.Repeat("a", 33), Secret: strong}}, "twice": {{ID: "a", Secret: strong}, {ID: "a", Secret: strong}},
		"short previous": {{ID: "a", Secret: strong}, {ID: "b", Secret: strong[:16]}},
	} {
		if _, err := mpp.NewKeyRing(keys[0], keys[1:]...); err == nil || strings.Contains(err.Error(), "sss") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mpp.IssueID(strong[:31], mpp.Challenge{}); !errors.Is(err, mpp.ErrWeakKey) {
		t.Errorf("issued under a weak key: %v", err)
	}
	for name, c := range map[string]mpp.Config{"no keys": {}, "short life": {Keys: ring(t, "k"), TTL: time.Millisecond}, "long life": {Keys: ring(t, "k"), TTL: 2 * time.Hour}} {
		if _, err := mpp.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestA037_Prices(t *testing.T) {
	p := protocol(t, mpp.Config{})
	for _, cents := range []int64{0, -1, -100} {
		if _, err := p.Compile(realm, []payment.Offer{offer(t, "stripe", cents)}); !errors.Is(err, payment.ErrNotOffered) {
			t.Errorf("%d cents: %v", cents, err)
		}
	}
	if _, err := p.Compile(realm, []payment.Offer{{Method: "stripe", Intent: "charge"}}); !errors.Is(err, payment.ErrNotOffered) {
		t.Errorf("no amount: %v", err)
	}
	// One that cannot be written is left out, and the others stand.
	bad := offer(t, "stripe", 100)
	bad.Method = "Stripe"
	d, err := p.Compile(realm, []payment.Offer{bad, offer(t, "tempo", 5)})
	if err != nil {
		t.Fatal(err)
	}
	if cs := challenges(t, d, bodyScope()); len(cs) != 1 || cs[0].Method != "tempo" {
		t.Errorf("challenges %v", cs)
	}
}

func TestA038_Currencies(t *testing.T) {
	for _, tt := range []struct {
		units    int64
		currency string
		scale    int
		want     string
	}{
		{100, "USD", 2, `"amount":"100","currency":"usd"`},
		{500, "jpy", 0, `"amount":"500","currency":"jpy"`},
		{1500, "KWD", 3, `"amount":"1500","currency":"kwd"`},
	} {
		amount, err := money.New(tt.units, tt.currency, tt.scale)
		if err != nil {
			t.Fatal(err)
		}
		d := compile(t, mpp.Config{}, payment.Offer{Method: "stripe", Intent: "charge", Amount: amount})
		if b := decode(t, challenges(t, d, bodyScope())[0].Request); !strings.Contains(string(b), tt.want) {
			t.Errorf("%s, want %s", b, tt.want)
		}
	}
}

// TestA008_PriceChanged: a challenge of another price is not paid at the new one.
func TestA008_PriceChanged(t *testing.T) {
	s := bodyScope()
	c := challenges(t, compile(t, mpp.Config{}, offer(t, "stripe", 100)), s)[0]
	renamed := offer(t, "stripe", 100)
	renamed.Quote.Version = "4"
	for name, tt := range map[string]struct {
		offers []payment.Offer
		want   payment.Kind
	}{
		"dearer": {[]payment.Offer{offer(t, "stripe", 200)}, invalid}, "cheaper": {[]payment.Offer{offer(t, "stripe", 50)}, invalid},
		"new terms": {[]payment.Offer{renamed}, invalid}, "A006 no longer offered": {[]payment.Offer{offer(t, "tempo", 100)}, payment.KindMethodUnsupported},
	} {
		got, err := present(compile(t, mpp.Config{}, tt.offers...), s, began, field(t, echo(t, c, spt)))
		if err == nil || kindOf(t, err) != tt.want || !errors.Is(err, payment.ErrNotOffered) {
			t.Errorf("%s: %v", name, err)
		}
		// It is ours, so that what it began can be found; but it carries no offer to charge.
		if got.ChallengeID != c.ID || got.Offer.Method != "stripe" || got.Offer.Amount.Valid() {
			t.Errorf("%s: returned %+v", name, got)
		}
	}
	both := compile(t, mpp.Config{}, offer(t, "stripe", 200), offer(t, "stripe", 100))
	if got, err := present(both, s, began, field(t, echo(t, c, spt))); err != nil || got.Offer.Amount.Units() != 100 {
		t.Errorf("the offer that was answered: %v, %v", got.Offer.Amount, err)
	}
}

// TestA040_NoOracle: what is not ours is told nothing about what else is wrong.
func TestA040_NoOracle(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	foreign := challenges(t, compile(t, mpp.Config{Keys: ring(t, "zz")}, offer(t, "stripe", 100)), bodyScope())[0]
	details := map[string]bool{}
	for _, edit := range []func(c *mpp.Challenge, s *payment.Scope, at *time.Time){
		func(*mpp.Challenge, *payment.Scope, *time.Time) {},
		func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Realm = "other" },
		func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Method = "tempo" },
		func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Opaque = "" },
		func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Opaque = "nonsense!" },
		func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Target = "/z" },
		func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Digest = "" },
		func(_ *mpp.Challenge, _ *payment.Scope, at *time.Time) { *at = at.Add(time.Hour) },
	} {
		c, s, at := foreign, bodyScope(), began
		edit(&c, &s, &at)
		_, err := present(d, s, at, field(t, echo(t, c, spt)))
		pe, ok := errors.AsType[*payment.Error](err)
		if !ok || pe.Kind != invalid {
			t.Errorf("%v", err)
			continue
		}
		details[pe.Detail] = true
	}
	if len(details) != 1 {
		t.Errorf("a forger is told apart: %v", details)
	}
}

// TestLegacyOpaqueObject: old clients send the decoded map; it is the same credential.
func TestLegacyOpaqueObject(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	s := bodyScope()
	c := challenges(t, d, s)[0]
	want, err := present(d, s, began, field(t, echo(t, c, spt)))
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(decode(t, c.Opaque), &object); err != nil {
		t.Fatal(err)
	}
	m := echo(t, c, spt)
	m["challenge"].(map[string]any)["opaque"] = object
	if got, err := present(d, s, began, field(t, m)); err != nil || got.Hash != want.Hash {
		t.Errorf("%v", err)
	}
	object["m"] = "GET"
	if _, err := present(d, s, began, field(t, m)); err == nil || kindOf(t, err) != invalid {
		t.Errorf("an altered object: %v", err)
	}
}

func TestSeparateHeader(t *testing.T) {
	o, s := offer(t, "stripe", 100), bodyScope()
	beside, usual := compile(t, mpp.Config{SeparateHeader: true}, o), compile(t, mpp.Config{}, o)
	c := challenges(t, beside, s)[0]
	if c.Header != mpp.PaymentAuthorization {
		t.Errorf("header %q", c.Header)
	}
	cred, err := mpp.NewCredential(c, []byte(spt))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{"Authorization": {"Bearer mine"}}
	if err := cred.Set(h); err != nil {
		t.Fatal(err)
	}
	if _, err := beside.Credential(&http.Request{Header: h}, s, began); err != nil || h.Get("Authorization") != "Bearer mine" {
		t.Errorf("%v with %v", err, h)
	}
	if _, err := present(beside, s, began, field(t, echo(t, c, spt))); err == nil || kindOf(t, err) != invalid {
		t.Errorf("in the wrong field: %v", err)
	}
	if _, err := usual.Credential(&http.Request{Header: h}, s, began); err == nil || kindOf(t, err) != invalid {
		t.Errorf("for a route that has the usual field: %v", err)
	}
}

// TestScopeThatCannotBeWritten: a request that would break the quoting gets no challenge.
func TestScopeThatCannotBeWritten(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	for name, edit := range map[string]func(*payment.Scope){
		"quote in the route": func(s *payment.Scope) { s.Route = `a"b` }, "control in the tenant": func(s *payment.Scope) { s.Tenant = "a\nb" },
		"accent in the route": func(s *payment.Scope) { s.Route = "caf\u00e9" }, "bar in the digest": func(s *payment.Scope) { s.Digest = "a|b" },
		"quote in the digest": func(s *payment.Scope) { s.Digest = `a"b` }, "line end in the digest": func(s *payment.Scope) { s.Digest = "a\r\nb" },
		"a route of 9000 bytes": func(s *payment.Scope) { s.Route = strings.Repeat("r", 9000) },
	} {
		s := bodyScope()
		edit(&s)
		h := http.Header{}
		if err := d.Challenge(h, &http.Request{Header: http.Header{}}, s, began); !errors.Is(err, mpp.ErrFormat) || len(h["Www-Authenticate"]) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := bodyScope()
	s.Target = "/" + strings.Repeat("caf\u00e9\"|", 2000) // only its hash travels
	challenges(t, d, s)
}

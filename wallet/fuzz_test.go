package wallet

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
)

func newRequest(t testing.TB, to string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "One report, 5 €", "One report, 5 €"},
		{"colour", "\x1b[31mred\x1b[0m", "red"},
		{"title with bell", "a\x1b]0;owned\x07b", "ab"},
		{"title with st", "a\x1b]0;owned\x1b\\b", "ab"},
		{"link", "\x1b]8;;https://evil\x1b\\bank\x1b]8;;\x1b\\", "bank"},
		{"eight-bit csi", "a\u009b31mb", "ab"},
		{"eight-bit osc", "a\u009d0;x\x07b", "ab"},
		{"sequence that never ends", "a\x1b]0;rest of it", "a"},
		{"lone escape", "a\x1b", "a"},
		{"white space", " a\r\n\t b\u00a0 ", "a b"},
		{"bidi override", "1.00\u202e00.1", "1.0000.1"},
		{"isolates and marks", "a\u2066b\u2069\u200f\u200d\ufe0f", "ab"},
		{"tags", "a\U000e0041", "a"},
		{"broken utf-8", "a\xff\xc0b\ufffd", "ab"},
		{"nul and backspace", "a\x00\x08b\x7f", "ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clean(tt.in, 100); got != tt.want {
				t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
	if got := Clean("äöü", 2); got != "äö" {
		t.Errorf("limit: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a b", "\x1b[1;2Hx", "\x1b]0;t\x07", "\u202e", "\xff\x9b1m", "a \x1b"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1000)
		got := Clean(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit || got != strings.TrimSpace(got) {
			t.Fatalf("Clean(%q, %d) = %q", s, limit, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf, unicode.Cc, unicode.Bidi_Control) {
				t.Fatalf("Clean(%q) keeps %U", s, r)
			}
		}
		if again := Clean(got, limit); again != got {
			t.Fatalf("Clean(%q) = %q, and again %q", s, got, again)
		}
	})
}

// What is said to be payable is exactly what the wire says, in one reading only.
func FuzzOffer(f *testing.F) {
	for _, s := range []string{
		request(`"100"`, "usd"), request(`"5"`, "JPY"), request(`"01"`, "usd"), request(`100`, "usd"), `{}`,
		`{"amount":"1","Amount":"2","currency":"usd","methodDetails":{"networkId":"p"}}`,
	} {
		f.Add(challenge(s, ""))
	}
	f.Add(challenge(request(`"100"`, "usd"), `, digest="sha-256=:x:"`))
	u, err := url.Parse(shopURL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		offers, err := readChallenges(http.Header{"Www-Authenticate": {line}}, live{url: u})
		if err != nil {
			return
		}
		for _, o := range offers {
			if o.Why != "" {
				continue
			}
			raw, err := o.challenge.RequestObject()
			if err != nil {
				t.Fatal(err)
			}
			var m map[string]json.RawMessage
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			var wire, currency string
			if json.Unmarshal(m["amount"], &wire) != nil || json.Unmarshal(m["currency"], &currency) != nil {
				t.Fatalf("payable without strings: %s", raw)
			}
			scale, _ := money.Exponent(currency)
			if !o.Amount.IsPositive() || strconv.FormatInt(o.Amount.Units(), 10) != wire ||
				!strings.EqualFold(o.Amount.Currency(), currency) || o.Amount.Scale() != scale {
				t.Fatalf("%s is read as %v", raw, o.Amount)
			}
			if o.challenge.Method != "stripe" || o.challenge.Intent != "charge" || !isName(o.NetworkID) ||
				!strings.Contains(strings.ToLower(o.challenge.Realm), shopHost) {
				t.Fatalf("payable: %+v", o)
			}
			// Any payable challenge can be answered.
			c, err := mpp.NewCredential(o.challenge, []byte(`{"spt":"spt_1"}`))
			if err != nil {
				t.Fatal(err)
			}
			field, err := c.Format()
			if err != nil {
				t.Fatal(err)
			}
			_ = field
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, " 7 ": 7 * time.Second, "-1": 0, "1.5": 0, "soon": 0, "99999999999999999999": maxRetryAfter, "86401": maxRetryAfter,
		"Sun, 01 Nov 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Nov 2026 11:00:00 GMT": 0, "Sun, 01 Nov 2099 11:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(in, noon); got != want {
			t.Errorf("%q is %v, want %v", in, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"5", "99999999999999999999", "Sun, 01 Nov 2026 12:00:30 GMT", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := retryAfter(s, noon)
		if d < 0 || d > maxRetryAfter {
			t.Fatalf("%q is %v", s, d)
		}
		if n, err := strconv.ParseUint(s, 10, 16); err == nil && d != time.Duration(n)*time.Second {
			t.Fatalf("%q is %v", s, d)
		}
	})
}

func FuzzLedgerFile(f *testing.F) {
	good, err := encodeLedger([]Spend{{"a", "h", usd(1), noon}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"spends":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		spends, err := decodeLedger(data)
		if err != nil {
			return
		}
		for _, s := range spends {
			if s.ID == "" || s.Host == "" || !s.Amount.IsPositive() {
				t.Fatalf("takes %+v", s)
			}
		}
		again, err := encodeLedger(spends)
		if err != nil {
			return // a year that JSON cannot write
		}
		got, err := decodeLedger(again)
		if err != nil || len(got) != len(spends) {
			t.Fatalf("written again it reads %v, %v", got, err)
		}
		for i := range got {
			if got[i].ID != spends[i].ID || got[i].Amount != spends[i].Amount || !got[i].At.Equal(spends[i].At) {
				t.Fatalf("%+v became %+v", spends[i], got[i])
			}
		}
	})
}

func FuzzJournalFile(f *testing.F) {
	p := presentation(f, 1)
	good, err := encodePresentation(&p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePresentation(data)
		if err != nil {
			return
		}
		if _, err := mpp.ParseCredential(p.Credential.Reveal()); err != nil || !p.Amount.IsPositive() || !isName(p.ID) {
			t.Fatalf("takes %+v", p)
		}
		again, err := encodePresentation(&p)
		if err != nil {
			return
		}
		if got, err := decodePresentation(again); err != nil || got != p {
			t.Fatalf("%+v became %+v, %v", p, got, err)
		}
	})
}

func FuzzSpendRequest(f *testing.F) {
	f.Add([]byte(`{"id":"lsrq_1","status":"approved","amount":100,"currency":"usd","shared_payment_token":{"id":"spt_1"}}`))
	f.Add([]byte(`{"id":"lsrq_1","shared_payment_token":"spt_1","created_at":1}`))
	f.Add([]byte(`{"id":"../x","approval_url":"javascript:x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var w wireSpend
		if json.Unmarshal(data, &w) != nil {
			return
		}
		s, err := w.spend()
		if err != nil {
			return
		}
		if !isName(s.ID) {
			t.Fatalf("takes the id %q", s.ID)
		}
		if v := s.Token.Reveal(); v != "" && (!strings.HasPrefix(v, "spt_") || strings.ContainsAny(v, " \r\n\x1b")) {
			t.Fatalf("takes the token %q", v)
		}
		if u := s.ApprovalURL; u != "" && !strings.HasPrefix(strings.ToLower(u), "http") {
			t.Fatalf("takes the address %q", u)
		}
		for _, text := range []string{s.Context, s.NetworkID, string(s.Status), s.ApprovalURL} {
			if Clean(text, 2000) != text {
				t.Fatalf("lets %q through", text)
			}
		}
	})
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"type":"https://paymentauth.org/problems/payment-required","detail":"x\u001b[1m"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := parseProblem(body)
		if s := p.String(); len(s) > 4*600 || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%q", s)
		}
	})
}

// What is said to be payable over x402 is a known token or a shared one, in one
// reading only, and can be answered.
func FuzzEntries(f *testing.F) {
	for _, e := range []x402.PaymentRequirements{usdcEntry(), linkEntry()} {
		field, err := x402.Encode(x402.PaymentRequired{Version: 2, Resource: x402.ResourceInfo{URL: shopURL}, Accepts: []x402.PaymentRequirements{e}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(field)
	}
	u, err := url.Parse(shopURL)
	if err != nil {
		f.Fatal(err)
	}
	links := LinkTokens{}
	links.defaults()
	f.Fuzz(func(t *testing.T, field string) {
		offers, err := readEntries(http.Header{"Payment-Required": {field}}, live{url: u}, links)
		if err != nil {
			return
		}
		for _, o := range offers {
			if o.Why != "" {
				continue
			}
			wire := o.entry.accepted
			if !o.Amount.IsPositive() || strconv.FormatInt(o.Amount.Units(), 10) != wire.Amount || o.NetworkID == "" {
				t.Fatalf("%+v is read as %v", wire, o.Offer)
			}
			proof := Proof{Payload: []byte(`{"spt":"spt_1"}`)}
			if tr := o.entry.transfer; tr != nil && (tr.Asset.Network != wire.Network || !strings.EqualFold(tr.Asset.Contract.String(), wire.Asset) ||
				!strings.EqualFold(tr.PayTo.String(), wire.PayTo)) {
				t.Fatalf("%+v is read as a transfer %+v", wire, tr)
			}
			answer, id, err := o.entry.answer(proof, "spend", links)
			if err != nil || !isName(id) {
				t.Fatal(id, err)
			}
			var back x402.PaymentPayload
			if err := x402.Decode(answer, &back); err != nil || back.Accepted.Amount != wire.Amount || back.Accepted.PayTo != wire.PayTo {
				t.Fatalf("%v %+v", err, back)
			}
		}
	})
}

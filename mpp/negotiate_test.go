package mpp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/mpp"
	"paywall/payment"
)

func TestAcceptPayment(t *testing.T) {
	session := offer(t, "tempo", 5)
	session.Intent = "session"
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100), offer(t, "tempo", 100), session)
	const all = "stripe/charge tempo/charge tempo/session"
	for _, tt := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"absent", nil, all},
		{"one", []string{"stripe/charge"}, "stripe/charge"},
		{"another", []string{"tempo/charge"}, "tempo/charge"},
		{"any intent", []string{"tempo/*"}, "tempo/charge tempo/session"},
		{"any method", []string{"*/charge"}, "stripe/charge tempo/charge"},
		{"anything", []string{"*/*"}, all},
		{"weights", []string{"stripe/*;q=0.9, tempo/charge;q=0.5"}, "stripe/charge tempo/charge"},
		{"weights turn the order", []string{"stripe/*;q=0.5, tempo/charge;q=0.9"}, "tempo/charge stripe/charge"},
		{"ties keep our order", []string{"tempo/session, tempo/charge, stripe/charge"}, all},
		{"the most specific decides", []string{"*/*;q=0.1, tempo/*;q=0.9, tempo/charge;q=0.2"}, "tempo/session tempo/charge stripe/charge"},
		{"one is excluded", []string{"*/*, stripe/charge;q=0"}, "tempo/charge tempo/session"},
		{"all but one", []string{"*/*;q=0, tempo/session"}, "tempo/session"},
		{"several lines are one list", []string{"stripe/charge;q=0.3", "tempo/charge;q=0.7"}, "tempo/charge stripe/charge"},
		{"white space and empty elements", []string{" ,, tempo/charge ; Q=1.000 ,"}, "tempo/charge"},
		{"three digits", []string{"stripe/charge;q=0.001,tempo/charge;q=0.002"}, "tempo/charge stripe/charge"},
		{"nothing is left, so all", []string{"*/*;q=0"}, all},
		{"excluded alone, so all", []string{"tempo/charge;q=0"}, all},
		{"no such method, so all", []string{"lightning/charge"}, all},
		{"empty", []string{""}, all},
		{"no slash", []string{"stripe"}, all},
		{"capitals", []string{"Stripe/charge"}, all},
		{"one bad range spoils the list", []string{"stripe/charge, ???"}, all},
		{"weight above one", []string{"stripe/charge;q=1.001"}, all},
		{"negative weight", []string{"stripe/charge;q=-1"}, all},
		{"no weight", []string{"stripe/charge;q="}, all},
		{"four digits", []string{"stripe/charge;q=0.5555"}, all},
		{"another parameter", []string{"stripe/charge;v=1"}, all},
		{"too long", []string{"stripe/charge," + strings.Repeat(" ", 5000)}, all},
	} {
		var got []string
		for _, c := range challenges(t, d, bodyScope(), tt.fields...) {
			got = append(got, c.Method+"/"+c.Intent)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("stripe/*;q=0.9, tempo/charge;q=0.5")
	f.Add("*/*;q=0")
	f.Add("tempo/charge;q=1.000,,")
	o := offer(f, "stripe", 100)
	d := compile(f, mpp.Config{}, o, offer(f, "tempo", 5))
	f.Fuzz(func(t *testing.T, field string) {
		// Whatever a client prefers, it is offered something, each thing once.
		cs := challenges(t, d, bodyScope(), field)
		var names []string
		for _, c := range cs {
			names = append(names, c.Method)
		}
		slices.Sort(names)
		if len(names) == 0 || len(slices.Compact(names)) != len(cs) {
			t.Errorf("%q is offered %v", field, cs)
		}
	})
}

// TestChallengeLines: one line per offer, in the layout that every client takes.
func TestChallengeLines(t *testing.T) {
	d := compile(t, mpp.Config{Rand: zero{}}, offer(t, "stripe", 100), offer(t, "tempo", 5))
	h := http.Header{"Www-Authenticate": {`Bearer realm="x"`}}
	if err := d.Challenge(h, &http.Request{Header: http.Header{}}, bodyScope(), began.Add(999*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	lines := h["Www-Authenticate"]
	if len(lines) != 3 || lines[0] != `Bearer realm="x"` {
		t.Fatalf("lines %q", lines)
	}
	const want = `Payment id="ID", realm="api.example.com", method="stripe", intent="charge", ` +
		`request="eyJhbW91bnQiOiIxMDAiLCJjdXJyZW5jeSI6InVzZCIsIm1ldGhvZERldGFpbHMiOnsibmV0d29ya0lkIjoicHJvZmlsZV8xIiwicGF5bWVudE1ldGhvZFR5cGVzIjpbImNhcmQiLCJsaW5rIl19fQ", ` +
		`description="one report", digest="sha-256=:Iw2DWNyOiJCzwHxzeOXmlUiGJ/+ZWnUbkXAUkg34PNE=:", expires="2026-11-01T12:05:00Z", opaque="OPAQUE"`
	cs, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": lines[1:2]})
	if err != nil || len(cs) != 1 {
		t.Fatal(cs, err)
	}
	got := strings.NewReplacer(cs[0].ID, "ID", cs[0].Opaque, "OPAQUE", mpp.Digest([]byte("body")), "sha-256=:Iw2DWNyOiJCzwHxzeOXmlUiGJ/+ZWnUbkXAUkg34PNE=:").Replace(lines[1])
	if got != want {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}
	// The opaque map is canonical and says what is bound, but not the path.
	opaque := decode(t, cs[0].Opaque)
	if canonical, err := mpp.Canonical(opaque); err != nil || string(canonical) != string(opaque) || strings.Contains(string(opaque), "x=1") {
		t.Errorf("opaque %s, %v", opaque, err)
	}
	var m map[string]string
	if err := json.Unmarshal(opaque, &m); err != nil || m["n"] != "AAAAAAAAAAAAAAAAAAAAAA" || m["k"] != "k1" || m["v"] != "3" || m["m"] != "POST" || m["t"] != "t" || m["r"] != "r" {
		t.Errorf("opaque %s, %v", opaque, err)
	}
	if mpp.VerifyID([]byte(strings.Repeat("k1", 32)), cs[0]) != true || mpp.VerifyID([]byte(strings.Repeat("k2", 32)), cs[0]) {
		t.Error("the id is not the binding of what travels")
	}
	// All lines merged into one are the same challenges.
	apart, err := mpp.ParseChallenges(h)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": {strings.Join(lines, ", ")}})
	if err != nil || !slices.Equal(apart, merged) || len(merged) != 2 {
		t.Errorf("merged %v, %v", merged, err)
	}
}

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestReceiptHeaders(t *testing.T) {
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100))
	pay := payment.Payment{Method: "stripe", Reference: "pi_1", ChallengeID: "ch", SettledAt: began}
	for name, tt := range map[string]struct {
		cache []string
		want  []string
	}{
		"nothing said": {nil, []string{"private"}}, "cacheable": {[]string{"max-age=60"}, []string{"max-age=60", "private"}},
		"private": {[]string{"Private, max-age=60"}, []string{"Private, max-age=60"}}, "no-store": {[]string{"no-store"}, []string{"no-store"}},
	} {
		h := http.Header{}
		for _, v := range tt.cache {
			h.Add("Cache-Control", v)
		}
		if err := d.Receipt(h, pay, "ey.signed.token"); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h["Cache-Control"], tt.want) {
			t.Errorf("%s: cache-control %q", name, h["Cache-Control"])
		}
		r, err := mpp.ParseReceipt(h.Get(mpp.PaymentReceipt))
		if err != nil || r.Status != "success" || r.Method != "stripe" || r.Reference != "pi_1" || r.Timestamp != "2026-11-01T12:00:00Z" ||
			string(r.Extra["challengeId"]) != `"ch"` || string(r.Extra["jwt"]) != `"ey.signed.token"` {
			t.Errorf("%s: receipt %+v, %v", name, r, err)
		}
	}
	if err := d.Receipt(http.Header{}, payment.Payment{Method: "stripe", SettledAt: began}, ""); !errors.Is(err, mpp.ErrReceipt) {
		t.Errorf("a receipt without a reference: %v", err)
	}
	h := http.Header{}
	if err := d.Receipt(h, pay, strings.Repeat("x", 5000)); !errors.Is(err, mpp.ErrReceipt) || len(h) > 0 {
		t.Errorf("a receipt that is too long: %v", err)
	}
}

func TestParseReceipt(t *testing.T) {
	good := `{"status":"success","method":"stripe","timestamp":"2026-11-01T12:00:00.5Z","reference":"pi_1"}`
	for name, tt := range map[string]struct {
		in string
		ok bool
	}{
		"good": {good, true}, "more": {strings.Replace(good, "{", `{"externalId":"o1","n":{"a":1},`, 1), true},
		"failed": {strings.Replace(good, "success", "failure", 1), false}, "no reference": {strings.Replace(good, "pi_1", "", 1), false},
		"bad time": {strings.Replace(good, "2026", "26", 1), false}, "twice": {strings.Replace(good, "{", `{"status":"success",`, 1), false},
		"number": {strings.Replace(good, `"pi_1"`, `1`, 1), false}, "case variant": {strings.Replace(good, "{", `{"STATUS":"x",`, 1), false},
		"array": {"[]", false}, "nothing": {"", false}, "more than one": {good + good, false},
	} {
		r, err := mpp.ParseReceipt(mpp.EncodeBase64([]byte(tt.in)))
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, mpp.ErrReceipt) || tt.ok && r.Reference != "pi_1" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, bad := range []string{"!", strings.Repeat("A", 17<<10)} {
		if _, err := mpp.ParseReceipt(bad); !errors.Is(err, mpp.ErrReceipt) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add(mpp.EncodeBase64([]byte(`{"status":"success","method":"stripe","timestamp":"2026-11-01T12:00:00Z","reference":"pi_1","a":{"b":1}}`)))
	f.Fuzz(func(t *testing.T, field string) {
		r, err := mpp.ParseReceipt(field)
		if err != nil {
			return
		}
		line, err := r.Format()
		if err != nil {
			if !strings.Contains(err.Error(), "too long") {
				t.Errorf("%q parses and cannot be written: %v", field, err)
			}
			return
		}
		again, err := mpp.ParseReceipt(line)
		if err != nil || again.Reference != r.Reference || len(again.Extra) != len(r.Extra) {
			t.Errorf("%q: %+v, %v", field, again, err)
		}
	})
}

// TestProblems: every kind that may be answered with a challenge is in the
// scheme's table, with the status that the scheme gives it.
func TestProblems(t *testing.T) {
	statuses := map[string]int{}
	for _, p := range mpp.Problems() {
		if _, twice := statuses[p.Slug]; twice || p.Type() != "https://paymentauth.org/problems/"+p.Slug {
			t.Errorf("row %+v", p)
		}
		statuses[p.Slug] = p.Status
	}
	for _, k := range payment.Kinds() {
		status, ok := statuses[k.String()]
		switch {
		case k == payment.KindBadRequest || k == payment.KindMethodUnsupported:
			if status != http.StatusBadRequest {
				t.Errorf("%s is %d", k, status)
			}
		case k == payment.KindInternal:
			if status != http.StatusInternalServerError {
				t.Errorf("%s is %d", k, status)
			}
		case k.Unsettled():
			if ok {
				t.Errorf("%s is ours, not the scheme's", k)
			}
		case status != http.StatusPaymentRequired:
			t.Errorf("%s is %d", k, status)
		}
	}
}

func TestBrowserLists(t *testing.T) {
	for list, names := range map[string][]string{
		mpp.ExposeHeaders: {"WWW-Authenticate", "Payment-Receipt"},
		mpp.AllowHeaders:  {"Authorization", "Accept-Payment", "Payment-Authorization", "Idempotency-Key"},
	} {
		if got := strings.Split(list, ", "); !slices.Equal(got, names) {
			t.Errorf("%q, want %q", got, names)
		}
	}
	h := http.Header{"Cache-Control": {"public, max-age=9"}}
	if mpp.SetNoStore(h); !slices.Equal(h["Cache-Control"], []string{"no-store"}) {
		t.Errorf("a 402 has %q", h["Cache-Control"])
	}
}

func TestDigest(t *testing.T) {
	// RFC 9530, appendix B.2, and the empty body.
	for body, want := range map[string]string{
		`{"hello": "world"}` + "\n": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
		"":                          "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
	} {
		if got := mpp.Digest([]byte(body)); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}

// TestChallengeAllocations holds the price of an unpaid request.
func TestChallengeAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector empties pools at random")
	}
	for _, n := range []int{1, 3} {
		d := compile(t, mpp.Config{}, offers(t, n)...)
		r, s, h := &http.Request{Header: http.Header{}}, bodyScope(), make(http.Header, 8)
		got := testing.AllocsPerRun(200, func() {
			clear(h)
			if err := d.Challenge(h, r, s, began); err != nil {
				t.Error(err)
			}
		})
		if got > 4 { // one for the list of lines, and one for each line

			t.Errorf("%d offers take %v allocations", n, got)
		}
	}
}

func offers(tb testing.TB, n int) []payment.Offer {
	tb.Helper()
	return []payment.Offer{offer(tb, "stripe", 100), offer(tb, "tempo", 100), offer(tb, "evm", 100)}[:n]
}

func BenchmarkChallenges(b *testing.B) {
	for name, n := range map[string]int{"one": 1, "three": 3} {
		b.Run(name, func(b *testing.B) {
			d := compile(b, mpp.Config{}, offers(b, n)...)
			r, s, h := &http.Request{Header: http.Header{}}, bodyScope(), make(http.Header, 8)
			b.ReportAllocs()
			for b.Loop() {
				clear(h)
				if err := d.Challenge(h, r, s, began); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkForgedCredential is what a flood of forgeries costs.
func BenchmarkForgedCredential(b *testing.B) {
	d := compile(b, mpp.Config{}, offers(b, 1)...)
	s := bodyScope()
	c := challenges(b, d, s)[0]
	c.ID = strings.Repeat("A", 43)
	r := &http.Request{Header: http.Header{"Authorization": {field(b, echo(b, c, spt))}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Credential(r, s, began); err == nil {
			b.Fatal("accepted")
		}
	}
}

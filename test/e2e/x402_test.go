package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
	"paywall/x402"
)

// coinRoutes are more of what a world that takes coins sells.
const coinRoutes = `routes:
  - {match: "POST /v1/slow", upstream: api, price: 1.00 USD, description: A slow effect}
  - {match: "GET /v1/file", upstream: api, price: 1.00 USD, description: A file}
  - {match: "HEAD /v1/file", upstream: api, price: 1.00 USD, description: The head of a file}
  - {match: "GET /v1/stream", upstream: api, price: 1.00 USD, description: Events}
`

// newCoinWorld takes coins, with a node, and waits for nothing longer than a second or two.
func newCoinWorld(t *testing.T, bin string) *world {
	t.Helper()
	w := newWorld(t, bin, "settlement: {patience: 2s, attempt: 1s}")
	w.takeCoins(true)
	w.edit("routes:\n", coinRoutes)
	return w
}

// must is one step of a test that has to succeed.
func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// with is the purchase as another request, with the same proof of payment.
func (p purchase) with(method, url, body string) purchase {
	p.method, p.url, p.body = method, url, body
	p.credential = p.credential.Clone()
	return p
}

// field is the purchase with more fields in its head.
func (p purchase) field(name string, values ...string) purchase {
	p.credential = p.credential.Clone()
	p.credential[http.CanonicalHeaderKey(name)] = values
	return p
}

// asV1 is the same authorization as version 1 writes it.
func (p purchase) asV1(t *testing.T) purchase {
	t.Helper()
	var v2 x402.PaymentPayload
	if err := x402.Decode(p.credential.Get(x402.HeaderSignature), &v2); err != nil {
		t.Fatal(err)
	}
	field := must[string](t)(x402.Encode(x402.PayloadV1{Version: x402.V1, Scheme: x402.SchemeExact, Network: "base-sepolia", Payload: v2.Payload}))
	p.credential = http.Header{"X-Payment": {field}}
	return p
}

// silent is the same authorization without a word of what it is for, as a thief sends it.
func (p purchase) silent(t *testing.T) purchase {
	t.Helper()
	var v2 x402.PaymentPayload
	if err := x402.Decode(p.credential.Get(x402.HeaderSignature), &v2); err != nil {
		t.Fatal(err)
	}
	v2.Resource = nil
	p.credential = http.Header{"Payment-Signature": {must[string](t)(x402.Encode(v2))}}
	return p
}

// TestX402_A027_ParallelCopies sends 500 copies of one authorization at once, in both
// versions of the protocol. It is one run of the API and one transfer; a copy has
// the goods or is told to come back. None is asked to pay.
func TestX402_A027_ParallelCopies(t *testing.T) {
	t.Parallel()
	const copies = 500
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newCoinWorld(t, release)
			w.serve()
			a := newCoinAgent(t)
			a.client = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: copies}}
			target, body := "/v1/reports/7", ""
			if method == http.MethodPost {
				target, body = "/v1/slow", `{"n":1}`
				w.api.release()
			}
			p := must[purchase](t)(a.prepare(t.Context(), method, w.public+target, body))
			old := p.asV1(t)
			answers := make([]answer, copies)
			errs := make([]error, copies)
			var wg sync.WaitGroup
			for i := range copies {
				one := p
				if i%4 == 3 {
					one = old
				}
				wg.Go(func() { answers[i], errs[i] = a.present(t.Context(), one) })
			}
			wg.Wait()
			had := map[int]int{}
			for i, got := range answers {
				if errs[i] != nil {
					t.Fatal(errs[i])
				}
				had[got.status]++
				switch {
				case got.status == http.StatusOK && strings.Contains(string(got.body), `"path"`):
				case again(got.status) && !got.asksAgain() && got.header.Get("Retry-After") != "":
				default:
					t.Errorf("a copy was answered %d %s %v", got.status, got.body, got.header)
				}
			}
			t.Logf("%d copies were answered %v", copies, had)
			if n := w.api.runs(); had[http.StatusOK] == 0 || n != 1 {
				t.Errorf("%d copies had the goods, and the API ran %d times", had[http.StatusOK], n)
			}
			w.handedOver()
			w.coinRows()
			if n := len(w.audit().Chain.Transfers); n != 1 || len(w.payments()) != 1 {
				t.Errorf("%d transfers and %d payments, want one of each", n, len(w.payments()))
			}
			w.books()

			// What was delivered is not delivered again after the answer is forgotten.
			w.serving.stop(t)
			w.serve()
			for _, one := range []purchase{p, old, p.silent(t)} {
				got := must[answer](t)(a.present(t.Context(), one))
				if got.status == http.StatusOK || again(got.status) {
					t.Errorf("after a restart, a copy is answered %d %s", got.status, got.body)
				}
			}
			if n := w.api.runs(); n != 1 {
				t.Errorf("the API ran %d times", n)
			}
			if n := len(w.audit().Chain.Transfers); n != 1 {
				t.Errorf("%d transfers, want 1", n)
			}
			w.serving.stop(t)
		})
	}
}

// TestX402_A020_ReplayElsewhere takes an authorization that bought one request to
// others of the same price: while the first is served, after it, and after a
// restart. It says of itself nothing of what it is for, so that only the claim
// stands in the way.
func TestX402_A020_ReplayElsewhere(t *testing.T) {
	t.Parallel()
	for _, first := range []struct{ method, target, body string }{
		{http.MethodGet, "/v1/slow", ""},
		{http.MethodPost, "/v1/slow", `{"n":1}`},
	} {
		t.Run(first.method, func(t *testing.T) {
			t.Parallel()
			w := newCoinWorld(t, release)
			w.serve()
			a := newCoinAgent(t)
			p := must[purchase](t)(a.prepare(t.Context(), first.method, w.public+first.target, first.body)).silent(t)
			elsewhere := []purchase{
				p.with(http.MethodGet, w.public+"/v1/reports/7", ""),
				p.with(http.MethodGet, w.public+first.target+"?x=1", ""),
				p.with(http.MethodGet, w.public+"/v1/file", ""),
				p.with(http.MethodHead, w.public+"/v1/file", ""),
				p.with(http.MethodGet, w.public+"/v1/stream", ""),
				p.with(http.MethodPost, w.public+"/v1/slow", `{"n":2}`),
				p.with(http.MethodPost, w.public+"/v1/slow?y", `{"n":1}`),
				p.with(http.MethodPost, w.public+"/v1/complete", `{"n":1}`), // another price
			}
			try := func(when string) {
				t.Helper()
				for _, q := range elsewhere {
					for _, one := range []purchase{q, q.asV1(t)} {
						got := must[answer](t)(a.present(t.Context(), one))
						if got.status == http.StatusOK || got.header.Get(x402.HeaderResponse) != "" && got.settlement(t).Success {
							t.Errorf("%s, %s %s was served: %d %s", when, q.method, q.url, got.status, got.body)
						}
					}
				}
				if n := w.api.runs(); n != 1 {
					t.Errorf("%s, the API ran %d times", when, n)
				}
			}
			done := make(chan answer, 1)
			go func() {
				got, _ := a.present(t.Context(), p)
				done <- got
			}()
			<-w.api.entered
			try("while the first is served")
			w.api.release()
			if got := <-done; got.status != http.StatusOK {
				t.Fatalf("the first has %d %s", got.status, got.body)
			}
			w.handedOver()
			try("after the first")
			w.serving.stop(t)
			w.serve()
			try("after a restart")
			if n := len(w.audit().Chain.Transfers); n != 1 {
				t.Errorf("%d transfers, want 1", n)
			}
			w.coinRows()
			w.books()
			w.serving.stop(t)
		})
	}
}

// TestX402_A020_ReplayOfWhatIsOwed takes an authorization that is paid and not
// delivered to other requests, and one whose payment was given back: what is owed is
// owed for the one request that claimed it.
func TestX402_A020_ReplayOfWhatIsOwed(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, hooked)
	a := newCoinAgent(t)
	server := w.serve("PAYWALL_CRASH=" + payment.PointSettled + ":1")
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/owed", "")).silent(t)
	_, _ = a.present(t.Context(), p) // it is cut off
	killed(t, server)
	w.serve()
	back := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/broken", "")).silent(t)
	if got := must[answer](t)(a.present(t.Context(), back)); got.status != http.StatusBadGateway {
		t.Fatalf("a broken API: %d %s", got.status, got.body)
	}
	w.rest()
	ran := w.api.runs()
	for _, owed := range []purchase{p, back} {
		for _, q := range []purchase{
			owed.with(http.MethodGet, w.public+"/v1/reports/7", ""),
			owed.with(http.MethodGet, w.public+"/v1/reports/owed?x=1", ""),
			owed.with(http.MethodGet, w.public+"/v1/file", ""),
			owed.with(http.MethodHead, w.public+"/v1/file", ""),
			owed.with(http.MethodPost, w.public+"/v1/slow", "{}"),
		} {
			spellings := []purchase{q}
			if owed.token == p.token {
				// One that was given back has taken nothing, and in the other version it has
				// claimed nothing either: it may buy something else in that.
				spellings = append(spellings, q.asV1(t))
			}
			for _, one := range spellings {
				got := must[answer](t)(a.present(t.Context(), one))
				if got.status == http.StatusOK || again(got.status) {
					t.Errorf("%s %s: %d %s", q.method, q.url, got.status, got.body)
				}
			}
		}
	}
	if n := w.api.runs() - ran; n != 0 {
		t.Errorf("the API ran %d times elsewhere", n)
	}
	if got := must[answer](t)(a.present(t.Context(), p)); got.status != http.StatusOK {
		t.Errorf("what is owed is answered %d %s", got.status, got.body)
	}
	w.handedOver()
	if n := len(w.audit().Chain.Transfers); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// TestX402_A025_TwoPayments presents two payments in one request. Two protocols are
// refused; of two versions the newer decides, and nothing falls back to the other.
func TestX402_A025_TwoPayments(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	cards, coins := newAgent(t, w, ""), newCoinAgent(t)
	url := w.public + "/v1/reports/7"
	byCard := must[purchase](t)(cards.prepare(t.Context(), http.MethodGet, url, ""))
	first := must[purchase](t)(coins.prepare(t.Context(), http.MethodGet, url, ""))
	second := must[purchase](t)(coins.prepare(t.Context(), http.MethodGet, url, ""))
	sig, old := first.credential.Get(x402.HeaderSignature), second.asV1(t).credential.Get(x402.HeaderPaymentV1)
	nothing := first.field(x402.HeaderSignature) // neither

	both := first
	both.credential = first.credential.Clone()
	maps.Copy(both.credential, byCard.credential)
	bothOld := byCard.field(x402.HeaderPaymentV1, old)
	for _, c := range []struct {
		name   string
		p      purchase
		status []int
	}{
		{"a token and a signature", both, []int{400}},
		{"a token and one of version 1", bothOld, []int{400}},
		{"a signature twice", nothing.field(x402.HeaderSignature, sig, sig), []int{400, 402}},
		{"two signatures", nothing.field(x402.HeaderSignature, sig, second.credential.Get(x402.HeaderSignature)), []int{400, 402}},
		{"two signatures in one line", nothing.field(x402.HeaderSignature, sig+", "+sig), []int{400, 402}},
		{"two of version 1", nothing.field(x402.HeaderPaymentV1, old, old), []int{400, 402}},
		{"nonsense of version 2 before a good version 1", nothing.field(x402.HeaderSignature, "nonsense").field(x402.HeaderPaymentV1, old), []int{400, 402}},
		{"an empty version 2 before a good version 1", nothing.field(x402.HeaderSignature, "").field(x402.HeaderPaymentV1, old), []int{400, 402}},
	} {
		got := must[answer](t)(coins.present(t.Context(), c.p))
		if !slices.Contains(c.status, got.status) {
			t.Errorf("%s: %d %s, want %v", c.name, got.status, got.body, c.status)
		}
	}
	if audit := w.audit(); w.api.runs() != 0 || len(audit.Chain.Calls) != 0 || audit.Totals.Charges != 0 || len(w.payments()) != 0 {
		t.Errorf("%d runs, %d calls of the facilitator, %d charges and %d payments, want none", w.api.runs(), len(audit.Chain.Calls), audit.Totals.Charges, len(w.payments()))
	}
	// A good version 2 decides, whatever lies beside it, and takes nothing by the other.
	got := must[answer](t)(coins.present(t.Context(), first.field(x402.HeaderPaymentV1, old)))
	if got.status != http.StatusOK || got.header.Get(x402.HeaderResponse) == "" {
		t.Fatalf("a good version 2 beside version 1: %d %s", got.status, got.body)
	}
	token := got.header.Get("Paywall-Receipt")
	if token == "" {
		t.Fatal("no receipt")
	}
	// A receipt is a payment, too.
	twice := second.field("Authorization", "Bearer "+token)
	if got := must[answer](t)(coins.present(t.Context(), twice)); got.status != http.StatusBadRequest {
		t.Errorf("a receipt and a signature: %d %s, want 400", got.status, got.body)
	}
	// None of them was used up by the refusals.
	for _, p := range []purchase{byCard, second.asV1(t)} {
		if got := must[answer](t)(coins.present(t.Context(), p)); got.status != http.StatusOK {
			t.Errorf("alone, it has %d %s", got.status, got.body)
		}
	}
	w.handedOver()
	if n := len(w.audit().Chain.Transfers); n != 2 || w.api.runs() != 3 {
		t.Errorf("%d transfers and %d runs, want 2 and 3", n, w.api.runs())
	}
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// TestX402_A081_PathVariants spells a paid resource in other ways: none is served
// without a payment, nor again by the payment for the first.
func TestX402_A081_PathVariants(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	a := newCoinAgent(t)
	variants := []string{
		"/v1/reports/7", "/v1/reports/%37", "/v1//reports/7", "//v1/reports/7", "/v1/./reports/7", "/v1/x/../reports/7", "/v1/%72eports/7", "/v1/reports%2f7",
		"/v1/reports/7/", "/v1/reports/7?", "/v1/reports/7;x=1", "/V1/Reports/7", "/v1/reports/7%20", "/v1/reports/7%00", "/v1/x/%2e%2e/reports/7", `/v1\reports\7`,
		"/health/../v1/reports/7", "/health/%2e%2e/v1/reports/7", "/v1/reports/7.", "/v1/reports/7#", "/%2e/v1/reports/7",
	}
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/7", "")).silent(t)
	signature := "PAYMENT-SIGNATURE: " + p.credential.Get(x402.HeaderSignature)
	try := func(lines ...string) {
		t.Helper()
		before := w.api.runs()
		for _, v := range variants {
			if status := w.raw(t, v, lines...); status == http.StatusOK {
				t.Errorf("%s with %d lines was served", v, len(lines))
			}
		}
		if n := w.api.runs() - before; n != 0 {
			t.Errorf("the API ran %d times", n)
		}
	}
	try()
	forged := must[string](t)(x402.Encode(map[string]any{"x402Version": 2, "accepted": map[string]any{}, "payload": map[string]any{}}))
	try("PAYMENT-SIGNATURE: " + forged)
	try("X-PAYMENT: " + forged)
	try("PAYMENT-RESPONSE: " + forged)
	if got := must[answer](t)(a.present(t.Context(), p)); got.status != http.StatusOK {
		t.Fatalf("the payment has %d %s", got.status, got.body)
	}
	w.handedOver()
	w.serving.stop(t) // the answer that is kept for the payer goes with it
	w.serve()
	try(signature)
	if n := len(w.audit().Chain.Transfers); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
	w.serving.stop(t)
}

// raw sends a GET with its target as it is and returns the status, zero when there is none.
func (w *world) raw(t *testing.T, target string, lines ...string) int {
	t.Helper()
	host := strings.TrimPrefix(w.public, "http://")
	conn := must[net.Conn](t)(new(net.Dialer).DialContext(t.Context(), "tcp", host))
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n\r\n", target, host, strings.Join(lines, "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestX402_HeadRangeAndConditions buys with HEAD, with a range and under conditions:
// what is paid for is given, and nothing is given for a condition alone.
func TestX402_HeadRangeAndConditions(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	a := newCoinAgent(t)
	url := w.public + "/v1/file"
	for _, name := range []string{"Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Range"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			value := map[string]string{"Range": "bytes=0-3", "If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}[name]
			if value == "" {
				value = fileTag
			}
			got := must[answer](t)(a.do(t.Context(), method, url, "", http.Header{name: {value}}))
			if got.status != http.StatusPaymentRequired || got.header.Get(x402.HeaderRequired) == "" || strings.Contains(string(got.body), "three") {
				t.Errorf("%s with %s, unpaid: %d %s", method, name, got.status, got.body)
			}
		}
	}
	if n := w.api.runs(); n != 0 {
		t.Fatalf("the API ran %d times for nothing", n)
	}
	buy := func(method string, fields http.Header) answer {
		t.Helper()
		p := must[purchase](t)(a.prepare(t.Context(), method, url, ""))
		maps.Copy(p.credential, fields)
		return must[answer](t)(a.present(t.Context(), p))
	}
	if got := buy(http.MethodGet, http.Header{"If-None-Match": {fileTag}}); got.status != http.StatusOK || string(got.body) != fileText {
		t.Errorf("a paid GET under a condition has %d %q, want the whole file", got.status, got.body)
	}
	if got := buy(http.MethodGet, http.Header{"If-Modified-Since": {"Thu, 01 Jan 2099 00:00:00 GMT"}}); got.status != http.StatusOK || string(got.body) != fileText {
		t.Errorf("a paid GET under a condition has %d %q, want the whole file", got.status, got.body)
	}
	if got := buy(http.MethodGet, http.Header{"Range": {"bytes=5-7"}}); got.status != http.StatusPartialContent || string(got.body) != "one" || !got.settlement(t).Success {
		t.Errorf("a paid range has %d %q", got.status, got.body)
	}
	w.handedOver()
	if n := len(w.audit().Chain.Transfers); n != 3 {
		t.Errorf("%d transfers, want 3", n)
	}
	// A range that there is not is the client's mistake, and costs nothing.
	if got := buy(http.MethodGet, http.Header{"Range": {"bytes=900-"}}); got.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range that there is not has %d %q", got.status, got.body)
	}
	w.handedOver()
	if n := len(w.audit().Chain.Transfers); n != 3 {
		t.Errorf("%d transfers, want 3: a refusal was charged", n)
	}
	// A HEAD is bought as a HEAD. Its payment is not one for the body.
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodHead, url, "")).silent(t)
	if got := must[answer](t)(a.present(t.Context(), p)); got.status != http.StatusOK || len(got.body) > 0 || got.header.Get("Etag") != fileTag {
		t.Errorf("a paid HEAD has %d %q", got.status, got.body)
	}
	if got := must[answer](t)(a.present(t.Context(), p.with(http.MethodGet, url, ""))); got.status == http.StatusOK || strings.Contains(string(got.body), "three") {
		t.Errorf("the payment of a HEAD has bought a GET: %d %q", got.status, got.body)
	}
	w.handedOver()
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// TestX402_StreamSettlesFirst reads the first event of a stream while the API still
// holds back the last: the money is on the chain by then. A stream whose money
// cannot be taken has no first event.
func TestX402_StreamSettlesFirst(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	a := newCoinAgent(t)
	url := w.public + "/v1/stream"
	w.order(sandbox.Fault{Kind: sandbox.Answer, Path: "/facilitator/settle", Body: []byte(`{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"eip155:84532"}`), Count: 1})
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, url, ""))
	got := must[answer](t)(a.present(t.Context(), p))
	if got.status != http.StatusPaymentRequired || strings.Contains(string(got.body), "first") {
		t.Errorf("a stream that is not paid for: %d %s", got.status, got.body)
	}
	p = must[purchase](t)(a.prepare(t.Context(), http.MethodGet, url, ""))
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody))
	req.Header = p.credential
	resp := must[*http.Response](t)(a.client.Do(req))
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "data: first\n" {
		t.Fatalf("the first event is %q (%v)", line, err)
	}
	// The API has not sent the last event, and cannot before it is let go.
	audit := w.audit()
	if n := len(audit.Chain.Transfers); n != 1 {
		t.Errorf("with the first event, there are %d transfers, want 1", n)
	}
	s := answer{status: resp.StatusCode, header: resp.Header}.settlement(t)
	if !s.Success || transferred(audit, s.Transaction) != 1 {
		t.Errorf("the head says of the payment %+v", s)
	}
	w.api.release()
	if rest := must[[]byte](t)(io.ReadAll(lines)); !strings.Contains(string(rest), "data: last\n") {
		t.Errorf("the rest is %q", rest)
	}
	w.handedOver()
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// TestX402_SlowHandler has the authorization run out while the API is at work. The
// answer is kept back and nothing is taken, for the money cannot be.
func TestX402_SlowHandler(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, hooked)
	w.serve()
	a := newCoinAgent(t)
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/slow", ""))
	done := make(chan answer, 1)
	go func() {
		got, _ := a.present(t.Context(), p)
		done <- got
	}()
	<-w.api.entered
	w.spring(20*time.Minute, 20*time.Minute)
	w.api.release()
	got := <-done
	if got.status != http.StatusPaymentRequired || strings.Contains(string(got.body), `"path"`) || got.settlement(t).Success {
		t.Errorf("an answer that came too late: %d %s", got.status, got.body)
	}
	w.rest()
	rows := w.of("GET /v1/slow")
	if n := len(w.audit().Chain.Transfers); n != 0 || len(rows) != 1 || rows[0].SettledAt != nil || rows[0].State == payment.StateReview {
		t.Errorf("%d transfers; the payments are %+v", n, rows)
	}
	if got := must[answer](t)(a.present(t.Context(), p)); got.status == http.StatusOK || again(got.status) {
		t.Errorf("presented again, it has %d %s", got.status, got.body)
	}
	w.books()
	w.serving.stop(t)
}

// TestX402_PayerHangsUp closes the connection while the API is at work. A GET that
// nobody waits for costs nothing, and is bought by the same payment later; the
// answer to a POST that was paid for waits for its payer.
func TestX402_PayerHangsUp(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newCoinWorld(t, release)
			w.serve()
			a := newCoinAgent(t)
			body := ""
			if method == http.MethodPost {
				body = "{}"
			}
			p := must[purchase](t)(a.prepare(t.Context(), method, w.public+"/v1/slow", body))
			ctx, hangUp := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := a.present(ctx, p)
				done <- err
			}()
			<-w.api.entered
			hangUp()
			if err := <-done; err == nil {
				t.Fatal("the answer came, though the API was held back")
			}
			if method == http.MethodGet {
				// The server learns of it by itself, and so does the API.
				await(t, "the API has seen the payer go", 10*time.Second, func() bool { return w.api.gone.Load() > 0 })
			}
			transfers := len(w.audit().Chain.Transfers)
			w.api.release()
			if method == http.MethodGet {
				w.rest()
				if n := len(w.audit().Chain.Transfers); transfers != 0 || n != 0 {
					t.Errorf("%d transfers for a GET that nobody waited for", n)
				}
			} else if transfers != 1 {
				t.Errorf("%d transfers for a POST, want 1", transfers)
			}
			insist, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got := must[answer](t)(a.insist(insist, p))
			if got.status != http.StatusOK || !got.settlement(t).Success {
				t.Errorf("come back, the payer has %d %s", got.status, got.body)
			}
			w.handedOver()
			if n := w.api.runs(); method == http.MethodPost && n != 1 {
				t.Errorf("the API ran %d times", n)
			}
			if n := len(w.audit().Chain.Transfers); n != 1 {
				t.Errorf("%d transfers, want 1", n)
			}
			w.coinRows()
			w.books()
			w.serving.stop(t)
		})
	}
}

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
)

const (
	profile = "profile_test_e2e"
	testKey = "sk_test_CANARYe2eProcessorKey"
)

// world is a seller and what surrounds it: a sample API, the sandbox, a
// configuration, and paywall when it is served.
type world struct {
	t       *testing.T
	bin     string
	dir     string // with configuration, keys and store
	env     []string
	public  string // origins
	admin   string
	sandbox string
	api     *api
	clock   string // file that moves the clock of hooked binaries

	play    *process // the sandbox
	serving *process
	starts  []time.Duration // how long each start took to be ready

	returned int64 // what a person is said to have sent back on the chain, which the sandbox does not see
}

// config is the configuration of a world; lines may be added.
const config = `listen: %[1]s
public_url: http://%[1]s
admin: {listen: %[2]s}
store: sqlite:paywall.db
keys: {challenge: "file:challenge.key", receipts: "file:receipts.pem", seal: "file:seal.key"}
methods:
  stripe: {key: "env:STRIPE_KEY", profile: ` + profile + `, base_url: "http://%[3]s"}
upstreams:
  api: {url: "%[4]s"}
routes:
  - {match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD, description: One market report}
  - {match: "POST /v1/complete", upstream: api, price: 0.75 USD, description: One completion}
  - {match: "GET /v1/slow", upstream: api, price: 1.00 USD, description: A slow answer}
  - {match: "GET /v1/broken", upstream: api, price: 1.00 USD, description: Nothing good}
  - {match: "GET /health", upstream: api, free: true}
limits: {challenges_per_second: 10000, burst: 10000, failed_per_minute: 100000, connections_per_client: 1024}
`

// newWorld makes everything but the server, which [world.serve] starts.
func newWorld(t *testing.T, bin string, more ...string) *world {
	t.Helper()
	w := &world{t: t, bin: bin, dir: t.TempDir(), api: newAPI()}
	upstream := httptest.NewServer(w.api)
	t.Cleanup(upstream.Close)
	t.Cleanup(w.api.release)
	addrs := freeAddrs(t, 3)
	w.public, w.admin, w.sandbox = "http://"+addrs[0], "http://"+addrs[1], "http://"+addrs[2]
	w.clock = filepath.Join(w.dir, "clock")
	w.env = environment(w.dir, "STRIPE_KEY="+testKey, "PAYWALL_CLOCK="+w.clock)
	w.write("paywall.yaml", fmt.Sprintf(config, addrs[0], addrs[1], addrs[2], upstream.URL)+strings.Join(more, "\n"))
	w.paywall("keys", "new").want(t, 0)
	w.startSandbox()
	return w
}

func (w *world) startSandbox(more ...string) {
	w.t.Helper()
	args := append([]string{"sandbox", "--listen", strings.TrimPrefix(w.sandbox, "http://")}, more...)
	p := start(w.t, w.dir, environment(w.dir), release, args...)
	w.play = p
	w.ready(p, w.sandbox+"/_sandbox/faults")
}

// ready waits for a 200 of url.
func (w *world) ready(p *process, url string) {
	w.t.Helper()
	await(w.t, p.name+" is ready", 30*time.Second, func() bool {
		if !p.running() {
			w.t.Fatalf("%s ended: %s", p.name, p.out)
		}
		_, ok := get(w.t.Context(), url)
		return ok
	})
}

// serve starts paywall with further settings of the environment and waits until
// it is ready.
func (w *world) serve(settings ...string) *process {
	w.t.Helper()
	began := time.Now()
	w.serving = start(w.t, w.dir, append(append([]string{}, w.env...), settings...), w.bin, "serve")
	w.ready(w.serving, w.public+"/readyz")
	w.starts = append(w.starts, time.Since(began))
	return w.serving
}

// paywall runs a command in the world's folder.
func (w *world) paywall(args ...string) result {
	w.t.Helper()
	return command(w.t, w.dir, w.env, "", w.bin, args...)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// edit replaces a piece of the configuration, which must be there.
func (w *world) edit(piece, with string) {
	w.t.Helper()
	text := w.read("paywall.yaml")
	if !strings.Contains(text, piece) {
		w.t.Fatalf("the configuration lacks %q", piece)
	}
	w.write("paywall.yaml", strings.Replace(text, piece, with, 1))
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// advance puts the clock of the world's hooked processes forward, those that
// run too. The file is replaced as a whole, since they read it at any time.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.write("clock.new", d.String())
	if err := os.Rename(w.clock+".new", w.clock); err != nil {
		w.t.Fatal(err)
	}
}

// row is a payment as `paywall payments list --json` shows it.
type row struct {
	ID         string           `json:"id"`
	State      payment.State    `json:"state"`
	Delivery   payment.Delivery `json:"delivery"`
	Units      int64            `json:"units"`
	Resource   string           `json:"resource"`
	Reference  string           `json:"reference"`
	Refund     string           `json:"refund"`
	Reason     string           `json:"reason"`
	Method     string           `json:"method"`
	Dispatches int              `json:"dispatches"`
	SettledAt  *time.Time       `json:"settled_at"`
}

func (r row) position() string { return string(r.State) + "/" + string(r.Delivery) }

func (w *world) payments() []row {
	w.t.Helper()
	r := w.paywall("payments", "list", "--json", "--limit", "10000").want(w.t, 0)
	var page struct {
		Payments []row  `json:"payments"`
		Next     string `json:"next"`
	}
	w.decode([]byte(r.stdout), &page)
	if page.Next != "" {
		w.t.Fatal("more payments than one list holds")
	}
	return page.Payments
}

// of returns the payments of one resource.
func (w *world) of(resource string) []row {
	w.t.Helper()
	var rows []row
	for _, r := range w.payments() {
		if r.Resource == resource {
			rows = append(rows, r)
		}
	}
	return rows
}

func (w *world) audit() sandbox.Report {
	w.t.Helper()
	body, ok := get(w.t.Context(), w.sandbox+"/_sandbox/audit")
	if !ok {
		w.t.Fatal("the sandbox does not answer")
	}
	var r sandbox.Report
	w.decode(body, &r)
	for _, list := range r.Truncated {
		if list != "calls" {
			w.t.Fatalf("the audit does not list all %s", list)
		}
	}
	return r
}

// order puts a fault in force at the sandbox.
func (w *world) order(f sandbox.Fault) {
	w.t.Helper()
	w.control(http.MethodPost, "/_sandbox/faults", f, http.StatusCreated)
}

func (w *world) heal() {
	w.t.Helper()
	w.control(http.MethodDelete, "/_sandbox/faults", nil, http.StatusOK)
}

func (w *world) control(method, path string, v any, want int) {
	w.t.Helper()
	var body io.Reader = http.NoBody
	if v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.sandbox+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := plain().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
		w.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
}

func (w *world) decode(data []byte, into any) {
	w.t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		w.t.Fatalf("%v in %s", err, tail(string(data), 500))
	}
}

// books demands that the ledger has no breaks and that what it says is owed by
// the processor is what the processor has.
func (w *world) books() payment.Report {
	w.t.Helper()
	r := w.paywall("ledger", "verify", "--json")
	var report payment.Report
	w.decode([]byte(r.stdout), &report)
	for _, b := range report.Breaks {
		w.t.Errorf("BROKEN %s %s: %s", b.Invariant, b.Payment, b.What)
	}
	if r.code != 0 {
		w.t.Errorf("ledger verify: exit code %d: %s", r.code, r.stderr)
	}
	audit := w.audit()
	totals := audit.Totals
	if has, says := totals.Captured["usd"]-totals.Refunded["usd"], report.Balances["receivable:stripe USD/2"]; has != says {
		w.t.Errorf("the processor has %d cents, the ledger says %d", has, says)
	}
	if has, says := received(w.t, audit)-w.returned, report.Balances["receivable:facilitator USDC/6"]; has != says {
		w.t.Errorf("the chain has paid the seller %d units of USDC, the ledger says %d", has, says)
	}
	return report
}

// charged sums what the processor did with the payments of one id.
func charged(r sandbox.Report, id string) (charges, refunds int) {
	intents := map[string]bool{}
	for _, i := range r.Intents {
		if i.Metadata["paywall_payment"] == id {
			intents[i.ID] = true
		}
	}
	for _, c := range r.Charges {
		if intents[c.Intent] && c.Captured > 0 {
			charges++
		}
	}
	for _, f := range r.Refunds {
		if intents[f.Intent] && f.Status != "failed" {
			refunds++
		}
	}
	return charges, refunds
}

// api is what the seller sells. It counts how often it worked for a payment.
type api struct {
	gone atomic.Int64 // slow requests whose caller has left

	mu      sync.Mutex // guards what follows
	work    map[string]int
	headers []http.Header
	entered chan struct{} // gets one for each slow request that has come in
	open    chan struct{} // closed to let slow requests go
	opened  bool
}

func newAPI() *api {
	return &api{work: map[string]int{}, entered: make(chan struct{}, 100), open: make(chan struct{})}
}

// release lets slow requests go on, from now on.
func (a *api) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.opened {
		a.opened = true
		close(a.open)
	}
}

// worked is how often the payment's request came here.
func (a *api) worked(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.work[id]
}

// seen are the heads of all requests.
func (a *api) seen() []http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]http.Header{}, a.headers...)
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "read", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.work[r.Header.Get("Paywall-Payment-Id")]++
	a.headers = append(a.headers, r.Header.Clone())
	a.mu.Unlock()
	switch r.URL.Path {
	case "/v1/slow":
		a.entered <- struct{}{}
		select {
		case <-a.open:
		case <-r.Context().Done():
			a.gone.Add(1)
			return
		}
	case "/v1/broken":
		http.Error(w, "broken on purpose", http.StatusInternalServerError)
		return
	case "/v1/file":
		w.Header().Set("ETag", fileTag)
		http.ServeContent(w, r, "file.txt", time.Unix(1_700_000_000, 0), strings.NewReader(fileText))
		return
	case "/v1/stream":
		a.stream(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"method":%q,"path":%q,"body":%q}`, r.Method, r.URL.RequestURI(), body)
}

// A file that knows ranges and conditions.
const (
	fileTag  = `"the-only-edition"`
	fileText = "zero one two three four five six seven eight nine"
)

// stream sends an event, waits as slow requests do, and sends another.
func (a *api) stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: first\n\n")
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	a.entered <- struct{}{}
	<-a.open
	fmt.Fprint(w, "data: last\n\n")
}

// runs is how often the API was called at all.
func (a *api) runs() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.headers)
}

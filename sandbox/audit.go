package sandbox

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"paywall/sandbox/facilitator"
	"paywall/sandbox/stripe"
)

// A Call is one request as a stand-in saw it.
type Call struct {
	At             time.Time `json:"at"`
	Method         string    `json:"method"`
	Path           string    `json:"path"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	Account        string    `json:"account,omitempty"`
	RequestID      string    `json:"request_id,omitempty"`
	// Status is that of the answer; zero when the connection was cut instead.
	Status int `json:"status"`
	// Executed is the status of the stand-in's own answer; zero when it was not asked.
	Executed int    `json:"executed"`
	Replayed bool   `json:"replayed"`
	Fault    string `json:"fault,omitempty"`
}

// maxCalls is how many calls are remembered, and how many rows of each kind an
// audit has.
const maxCalls = 10_000

// calls are the latest.
type calls struct {
	mu    sync.Mutex // guards the rest
	list  []Call
	total int
}

func (c *calls) add(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	c.list = append(c.list, call)
	if len(c.list) > 2*maxCalls { // not at every call
		c.list = append([]Call(nil), c.list[len(c.list)-maxCalls:]...)
	}
}

func (c *calls) latest() (list []Call, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := max(0, len(c.list)-maxCalls)
	return append([]Call{}, c.list[from:]...), c.total
}

func (c *calls) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list, c.total = nil, 0
}

// A Report is the answer of the audit.
type Report struct {
	Notice string `json:"notice"`
	Calls  []Call `json:"calls"`
	// TotalCalls counts those too that are no longer listed.
	TotalCalls int `json:"total_calls"`
	stripe.Audit
	Purchases any     `json:"purchases"`
	Faults    []Fault `json:"faults"`
	// Chain is what moved on the chains, and what the facilitator was asked.
	Chain facilitator.Audit `json:"chain"`
}

// Audit reports what really happened.
func (s *Sandbox) Audit() Report {
	r := Report{Notice: Notice, Audit: s.stripe.Audit(maxCalls), Purchases: s.wallet.Purchases(), Faults: s.faults.all(), Chain: s.chains.Audit(maxCalls)}
	r.Calls, r.TotalCalls = s.calls.latest()
	if r.TotalCalls > len(r.Calls) {
		r.Truncated = append(r.Truncated, "calls")
	}
	return r
}

// An answer is held in memory until it is recorded.
type answer struct {
	header http.Header
	status int
	body   []byte
}

// recorder takes an answer down.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) answer() answer {
	w.WriteHeader(http.StatusOK)
	return answer{header: w.header, status: w.status, body: w.body.Bytes()}
}

// audited serves a call with the fault that is its lot, and records it before
// the first byte of the answer leaves.
func (s *Sandbox) audited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{
			At: s.clock.now().UTC(), Method: r.Method, Path: limited(r.URL.Path), IdempotencyKey: limited(r.Header.Get("Idempotency-Key")),
			Account: limited(r.Header.Get("Stripe-Account")),
		}
		f := s.faults.pick(r)
		var a answer
		if f == nil {
			a = execute(next, r, w.Header())
			call.Executed = a.status
		} else {
			call.Fault = f.Kind
			a = s.suffer(f, next, r, w.Header(), &call)
		}
		call.Status = a.status
		call.Replayed = a.header.Get("Idempotent-Replayed") == "true"
		call.RequestID = a.header.Get("Request-Id")
		if f != nil && (f.Kind == DropBefore || f.Kind == DropAfter) {
			call.Status = 0
		}
		s.calls.add(call)
		s.send(w, r, f, a)
	})
}

func limited(v string) string { return v[:min(len(v), 300)] }

func execute(next http.Handler, r *http.Request, header http.Header) answer {
	rec := &recorder{header: header.Clone()}
	next.ServeHTTP(rec, r)
	return rec.answer()
}

// suffer executes a call that a fault has hit, as far as the fault lets it.
func (s *Sandbox) suffer(f *Fault, next http.Handler, r *http.Request, header http.Header, call *Call) answer {
	if f.Kind == Delay {
		s.wait(f.delay())
	}
	switch f.Kind {
	case Stored500:
		r = r.WithContext(stripe.StoreFailure(r.Context(), f.Moved))
	case Pending:
		r = r.WithContext(facilitator.LeavePending(r.Context(), f.delay(), f.Moved))
	}
	var a answer
	if f.executes() {
		a = execute(next, r, header)
		call.Executed = a.status
	}
	switch f.Kind {
	case Status, HTML, Conflict, RateLimit, Redirect, Garbage, Answer:
		f.pretend(&a)
	case Alter:
		a.body = f.alter(a.body)
	case Truncate:
		a.body = a.body[:len(a.body)/2]
		a.header.Del("Content-Length")
	case DelayAfter:
		s.wait(f.delay())
	}
	return a
}

// wait sleeps for a fault, whether or not the client still waits: a processor
// works on after its client has gone.
func (s *Sandbox) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stop:
	}
}

// send lets an answer out, or does not.
func (s *Sandbox) send(w http.ResponseWriter, r *http.Request, f *Fault, a answer) {
	kind := ""
	if f != nil {
		kind = f.Kind
	}
	if kind == DropBefore || kind == DropAfter {
		panic(http.ErrAbortHandler) // net/http cuts the connection and says nothing
	}
	maps.Copy(w.Header(), a.header)
	if r.Method != http.MethodHead && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	switch kind {
	case Cut:
		w.Write(a.body[:len(a.body)/2])       //nolint:errcheck // about to be cut
		http.NewResponseController(w).Flush() //nolint:errcheck // about to be cut
		panic(http.ErrAbortHandler)
	case SlowBody:
		for i := range a.body {
			if _, err := w.Write(a.body[i : i+1]); err != nil {
				return
			}
			http.NewResponseController(w).Flush() //nolint:errcheck // the client left, which Write will say
			s.wait(f.delay())
			if s.closed() || r.Context().Err() != nil {
				return
			}
		}
	default:
		w.Write(a.body) //nolint:errcheck // the client left
	}
}

func (s *Sandbox) closed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

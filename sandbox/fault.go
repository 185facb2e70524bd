package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of faults.
const (
	DropBefore = "drop_before" // the connection is cut, nothing was done
	DropAfter  = "drop_after"  // the call is executed, then the connection is cut without an answer
	Truncate   = "truncate"    // executed; a complete HTTP answer with half of the JSON
	Cut        = "cut"         // executed; the connection is cut in the middle of the body
	Delay      = "delay"       // executed after DelayMS
	DelayAfter = "delay_after" // executed at once, answered after DelayMS
	SlowBody   = "slow_body"   // executed; the body comes a byte at a time, DelayMS apart
	Status     = "status"      // answered with Status and an api_error
	HTML       = "html"        // answered with a page, as a proxy in between would
	Stored500  = "stored_500"  // a 500 that is kept under the idempotency key
	Conflict   = "conflict"    // 409, the key is in use
	RateLimit  = "rate_limit"  // 429
	Redirect   = "redirect"    // to Location
	Garbage    = "garbage"     // 200 with Size bytes that are no JSON
	Answer     = "answer"      // Body, with Status
	Alter      = "alter"       // executed; Member of the JSON answer is Value instead
	Pending    = "pending"     // a settlement stays unconfirmed; for the facilitator alone
)

var kinds = []string{
	DropBefore, DropAfter, Truncate, Cut, Delay, DelayAfter, SlowBody, Status, HTML, Stored500, Conflict, RateLimit, Redirect, Garbage,
	Answer, Alter, Pending,
}

const (
	maxDelay   = 10 * time.Minute
	maxGarbage = 32 << 20
	maxAnswer  = 64 << 10
	maxFaults  = 1000
)

// A Fault is ordered by the control plane and happens to the calls it matches.
// Of several that match, the oldest happens.
type Fault struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Path is a prefix, or a pattern of path.Match when it has one of *?[.
	// Empty matches every path but the control plane's, which nothing matches.
	Path string `json:"path,omitempty"`
	// Method is compared without regard to case; empty matches all.
	Method string `json:"method,omitempty"`
	// Moved has the call executed before the answer of Status, HTML, Stored500,
	// Conflict, RateLimit, Redirect, Garbage or Answer pretends otherwise. Of Pending
	// it means that the money has moved.
	Moved bool `json:"moved,omitempty"`
	// Status is the HTTP status of Status, HTML, Redirect, Garbage and Answer; zero
	// means 500, 502, 307, 200 and 200.
	Status int `json:"status,omitempty"`
	// Code is the error code of RateLimit: rate_limit, which is also what empty
	// means, or lock_timeout.
	Code string `json:"code,omitempty"`
	// DelayMS is in milliseconds. Of Pending it is of the sandbox's clock, and zero
	// waits until the settlement is asked for again.
	DelayMS int64 `json:"delay_ms,omitempty"`
	// RetryAfter, in seconds, sets the header of that name.
	RetryAfter int `json:"retry_after,omitempty"`
	// Location is where Redirect points; empty is a closed port of this machine.
	Location string `json:"location,omitempty"`
	// Size is the length of Garbage; zero means 512.
	Size int `json:"size,omitempty"`
	// Body is the JSON of Answer.
	Body json.RawMessage `json:"body,omitempty"`
	// Member is what Alter changes in the JSON object that is the answer; names
	// joined by dots go down. Value is its new JSON; without, the member is taken out.
	Member string          `json:"member,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
	// Skip lets so many matching calls pass first.
	Skip int `json:"skip,omitempty"`
	// Count is how often it happens; zero means until it is cleared.
	Count int `json:"count,omitempty"`
	// Probability is the chance of each matching call between 0 and 1; zero means always.
	Probability float64 `json:"probability,omitempty"`
	// Seed makes the chance repeatable; zero takes that of the sandbox.
	Seed uint64 `json:"seed,omitempty"`
	// Happened counts.
	Happened int `json:"happened"`

	rng *rand.Rand
}

// A FaultError names the member of an ordered fault that is wrong.
type FaultError struct{ Member, Why string }

func (e *FaultError) Error() string { return "fault: " + e.Member + ": " + e.Why }

func (f *Fault) check() error {
	wrong := func(member, format string, args ...any) error {
		return &FaultError{Member: member, Why: fmt.Sprintf(format, args...)}
	}
	location, err := url.Parse(f.Location)
	switch {
	case !slices.Contains(kinds, f.Kind):
		return wrong("kind", "want one of %s", strings.Join(kinds, ", "))
	case f.Path != "" && f.Path[0] != '/':
		return wrong("path", "want a path that begins with a slash")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return wrong("status", "want 200 to 599")
	case f.Code != "" && f.Code != "rate_limit" && f.Code != "lock_timeout":
		return wrong("code", "want rate_limit or lock_timeout")
	case f.DelayMS < 0 || f.DelayMS > maxDelay.Milliseconds():
		return wrong("delay_ms", "want 0 to %d", maxDelay.Milliseconds())
	case f.DelayMS == 0 && slices.Contains([]string{Delay, DelayAfter, SlowBody}, f.Kind):
		return wrong("delay_ms", "is missing")
	case f.Size < 0 || f.Size > maxGarbage:
		return wrong("size", "want 0 to %d", maxGarbage)
	case f.Kind == Answer && len(f.Body) == 0, len(f.Body) > maxAnswer:
		return wrong("body", "want JSON, of at most %d bytes", maxAnswer)
	case f.Kind == Alter && f.Member == "":
		return wrong("member", "is missing")
	case f.RetryAfter < 0 || f.Count < 0 || f.Skip < 0:
		return wrong("count, skip, retry_after", "want no negative numbers")
	case !(f.Probability >= 0 && f.Probability <= 1):
		return wrong("probability", "want 0 to 1")
	case err != nil || f.Location != "" && location.Host == "":
		return wrong("location", "want an absolute URL")
	}
	if _, err := path.Match(f.Path, "/"); err != nil {
		return wrong("path", "is not a pattern")
	}
	return nil
}

func (f *Fault) matches(r *http.Request) bool {
	if f.Method != "" && !strings.EqualFold(f.Method, r.Method) {
		return false
	}
	if strings.ContainsAny(f.Path, "*?[") {
		ok, err := path.Match(f.Path, r.URL.Path)
		return err == nil && ok
	}
	return strings.HasPrefix(r.URL.Path, f.Path)
}

func (f *Fault) delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// executes reports whether the call is executed at all.
func (f *Fault) executes() bool {
	switch f.Kind {
	case DropBefore:
		return false
	case Status, HTML, Conflict, RateLimit, Redirect, Garbage, Answer:
		return f.Moved
	}
	return true
}

// faults are those in force.
type faults struct {
	seed uint64

	mu   sync.Mutex // guards list and what is in it
	list []*Fault
}

// add puts a checked fault in force.
func (fs *faults) add(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	seed := f.Seed
	if seed == 0 {
		seed = fs.seed
	}
	if seed == 0 {
		seed = rand.Uint64() //nolint:gosec // which call fails is no secret
	}
	f.rng = rand.New(rand.NewPCG(seed, 0xfa17)) //nolint:gosec // which call fails is no secret
	f.Happened = 0
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) >= maxFaults {
		return &FaultError{Member: "faults", Why: "there are too many"}
	}
	fs.list = append(fs.list, &f)
	return nil
}

// pick decides what happens to a call; nil is nothing.
func (fs *faults) pick(r *http.Request) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if f.Count > 0 && f.Happened >= f.Count || !f.matches(r) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Probability > 0 && f.rng.Float64() >= f.Probability {
			continue
		}
		f.Happened++
		chosen := *f
		return &chosen
	}
	return nil
}

func (fs *faults) all() []Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	list := make([]Fault, len(fs.list))
	for i, f := range fs.list {
		list[i] = *f
	}
	return list
}

// clear lifts one fault, or all when id is empty. It returns how many.
func (fs *faults) clear(id string) int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	before := len(fs.list)
	fs.list = slices.DeleteFunc(fs.list, func(f *Fault) bool { return id == "" || f.ID == id })
	return before - len(fs.list)
}

// pretend writes the answer of a fault that does not pass on the real one.
func (f *Fault) pretend(a *answer) {
	*a = answer{header: make(http.Header), status: f.Status}
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	or := func(status int) {
		if a.status == 0 {
			a.status = status
		}
	}
	a.header.Set("Content-Type", "application/json")
	switch f.Kind {
	case Status:
		or(http.StatusInternalServerError)
		a.body = []byte(`{"error":{"type":"api_error","message":"Ordered by the sandbox: status ` + strconv.Itoa(a.status) + `."}}`)
	case HTML:
		or(http.StatusBadGateway)
		a.header.Set("Content-Type", "text/html")
		a.body = []byte("<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n")
	case Conflict:
		a.status = http.StatusConflict
		a.header.Set("Stripe-Should-Retry", "true")
		a.body = []byte(`{"error":{"type":"idempotency_error","code":"idempotency_key_in_use","message":"There is currently another in-progress request using this Idempotent Key."}}`)
	case RateLimit:
		a.status = http.StatusTooManyRequests
		code := f.Code
		if code == "" {
			code = "rate_limit"
		}
		a.body = []byte(`{"error":{"type":"invalid_request_error","code":"` + code + `","message":"Request rate limit exceeded."}}`)
	case Redirect:
		or(http.StatusTemporaryRedirect)
		a.header.Set("Location", f.Location)
		if f.Location == "" {
			a.header.Set("Location", "http://127.0.0.1:1/")
		}
	case Answer:
		or(http.StatusOK)
		a.body = f.Body
	case Garbage:
		or(http.StatusOK)
		size := f.Size
		if size == 0 {
			size = 512
		}
		a.body = make([]byte, size)
		for i := range a.body {
			a.body[i] = "<{garbage]>"[i%11]
		}
	}
}

// alter puts the member of an answer that is a JSON object right, or rather wrong.
// What is no such object stays as it is.
func (f *Fault) alter(body []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var root map[string]any
	if err := dec.Decode(&root); err != nil {
		return body
	}
	at := root
	names := strings.Split(f.Member, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			return body
		}
		at = inner
	}
	last := names[len(names)-1]
	if at[last] = f.Value; len(f.Value) == 0 {
		delete(at, last)
	}
	altered, err := json.Marshal(root)
	if err != nil {
		return body
	}
	return altered
}

package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// linkAPI is the part of the wallet's API that a client sees, as scripts: the
// nth GET of a spend request gets the nth status, the last one from then on.
type linkAPI struct {
	t testing.TB

	mu       sync.Mutex
	access   string // the token that is good
	refresh  string
	statuses []string
	token    string // JSON of shared_payment_token
	canceled string // status after cancel
	device   []string
	fail     map[string]int // call to how many 500s

	calls   []string
	created map[string]any
	id      string
}

func newLinkAPI(t testing.TB) *linkAPI {
	t.Helper()
	return &linkAPI{
		t: t, access: "at_1", refresh: "rt_1", statuses: []string{"approved"}, token: `{"id":"spt_1","valid_until":1}`, canceled: "canceled",
		fail: map[string]int{}, id: "lsrq_1",
	}
}

func (a *linkAPI) client(edit func(*LinkConfig)) *LinkClient {
	a.t.Helper()
	c := LinkConfig{
		BaseURL: "https://api.link.example", AuthURL: "https://login.link.example", HTTP: &http.Client{Transport: a},
		Tokens: NewMemoryTokens(Tokens{Access: "at_1", Refresh: "rt_1"}),
	}
	if edit != nil {
		edit(&c)
	}
	l, err := NewLinkClient(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return l
}

func (a *linkAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func (a *linkAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	call := r.Method + " " + r.URL.RequestURI()
	a.calls = append(a.calls, call)
	if a.fail[call] > 0 {
		a.fail[call]--
		http.Error(w, "down", http.StatusInternalServerError)
		return
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			a.t.Error(err)
		}
	}
	if strings.HasPrefix(r.URL.Path, "/device/") {
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("client_id") != LinkClientID {
			a.t.Errorf("%s: form %q", call, body)
		}
		a.login(w, r.URL.Path, form)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+a.access {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":"unauthorized","message":"no"}}`)
		return
	}
	spend := func(status string) {
		fmt.Fprintf(w, `{"id":%q,"status":%q,"approval_url":"https://app.link.example/a","amount":100,"currency":"usd","network_id":"profile_shop",
			"status_details":{"requires_action":{"failure_code":"f","next_action":{"type":"three_d_secure","resolution":%q,"action_url":"https://x/y"}}}}`,
			a.id, strings.TrimSuffix(status, "+"), map[bool]string{true: "auto_resume", false: "create_new_spend_request"}[strings.HasSuffix(status, "+")])
	}
	next := func() string {
		s := a.statuses[0]
		if len(a.statuses) > 1 {
			a.statuses = a.statuses[1:]
		}
		return s
	}
	switch call {
	case "POST /spend_requests":
		if err := json.Unmarshal(body, &a.created); err != nil {
			a.t.Error(err)
		}
		spend(next())
	case "POST /spend_requests/lsrq_1/request_approval":
		fmt.Fprint(w, `{"id":"lsrq_1","approval_link":"https://app.link.example/b"}`)
	case "GET /spend_requests/lsrq_1":
		spend(next())
	case "GET /spend_requests/lsrq_1?include=shared_payment_token":
		fmt.Fprintf(w, `{"shared_payment_token":%s}`, a.token)
	case "POST /spend_requests/lsrq_1/cancel":
		if a.canceled == "" {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error":{"code":"terminal","message":"done\u001b[1m"}}`)
			return
		}
		spend(a.canceled)
	case "GET /spend_requests?include_history=true":
		fmt.Fprint(w, `{"data":[{"id":"lsrq_1","status":"denied"},{"id":"lsrq_2","status":"succeeded","amount":5,"currency":"jpy"}]}`)
	case "GET /payment-details":
		fmt.Fprint(w, `{"payment_details":[
			{"id":"csmrpd_0","is_default":true,"capabilities":{"shared_payment_token":{"eligible":false}}},
			{"id":"csmrpd_1","type":"CARD","card_details":{"brand":"visa","last4":"4242"}},
			{"id":"csmrpd_2","is_default":true,"capabilities":{"shared_payment_token":{"eligible":true}}}]}`)
	case "GET /userinfo":
		fmt.Fprint(w, `{"agent_wallet_spend_limits":{"per_transaction":{"limit":50000},"daily":{"limit":50000,"used":100,"remaining":49900},
			"thirty_day":{"limit":null}},"agent_wallet_step_up":{"status":"ssn_verification","action_url":"https://x/y"}}`)
	default:
		http.NotFound(w, r)
	}
}

func (a *linkAPI) login(w http.ResponseWriter, path string, form url.Values) {
	switch {
	case path == "/device/code":
		fmt.Fprint(w, `{"device_code":"dc","user_code":"AB-CD","verification_uri":"https://login.link.example/device","expires_in":600,"interval":3}`)
	case path == "/device/revoke":
		fmt.Fprint(w, `{}`)
	case form.Get("grant_type") == "refresh_token" && form.Get("refresh_token") == a.refresh:
		a.access, a.refresh = a.access+"x", a.refresh+"x"
		fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"expires_in":60}`, a.access, a.refresh)
	case form.Get("grant_type") == deviceGrant && form.Get("device_code") == "dc" && len(a.device) > 0:
		code := a.device[0]
		a.device = a.device[1:]
		if code == "" {
			fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q}`, a.access, a.refresh)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q}`, code)
	default:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
	}
}

// count is how often a call was made.
func (a *linkAPI) count(call string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, c := range a.calls {
		if c == call {
			n++
		}
	}
	return n
}

const (
	getSpend  = "GET /spend_requests/lsrq_1"
	getToken  = getSpend + "?include=shared_payment_token"
	getCancel = "POST /spend_requests/lsrq_1/cancel"
)

func askFor(cents int64) Request {
	return Request{Amount: usd(cents), NetworkID: "profile_shop", Host: shopHost, Context: "short", Test: true}
}

func TestLinkPay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		edit     func(*linkAPI)
		request  Request
		want     error
		polls    int
		canceled int
		waits    time.Duration
	}{
		{name: "approved by a rule, at once", request: askFor(100)},
		{
			name: "approved by its owner", request: askFor(100), polls: 3, waits: 4 * time.Second,
			edit: func(a *linkAPI) {
				a.statuses = []string{"pending_approval", "pending_approval", "pending_approval", "approved"}
			},
		},
		{
			name: "created only, approval asked", request: askFor(100), polls: 1,
			edit: func(a *linkAPI) { a.statuses = []string{"created", "approved"} },
		},
		{
			name: "bare token string", request: askFor(100),
			edit: func(a *linkAPI) { a.token = `"spt_1"` },
		},
		{
			name: "polls get over failures", request: askFor(100), polls: 6, waits: 10 * time.Second,
			edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "approved"}; a.fail[getSpend] = tolerated },
		},
		{
			name: "not over any number of them", request: askFor(100), polls: 6, waits: 10 * time.Second, canceled: 1, want: errAny,
			edit: func(a *linkAPI) { a.statuses = []string{"pending_approval"}; a.fail[getSpend] = 100 },
		},
		{
			name: "step-up that goes on by itself", request: askFor(100), polls: 2, waits: 2 * time.Second,
			edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "requires_action+", "approved"} },
		},
		{
			name: "step-up that needs a new request", request: askFor(100), polls: 1, want: ErrAction, canceled: 1,
			edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "requires_action"} },
		},
		{name: "denied", request: askFor(100), polls: 1, want: ErrDenied, edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "denied"} }},
		{name: "canceled", request: askFor(100), polls: 1, want: ErrDenied, edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "canceled"} }},
		{name: "expired", request: askFor(100), polls: 1, want: ErrExpired, edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "expired"} }},
		{name: "failed", request: askFor(100), polls: 1, want: errAny, canceled: 1, edit: func(a *linkAPI) { a.statuses = []string{"pending_approval", "failed"} }},
		{name: "succeeded is no approval", request: askFor(100), polls: 1, want: errAny, canceled: 1, edit: func(a *linkAPI) {
			a.statuses = []string{"pending_approval", "succeeded"}
		}},
		{name: "unknown status is waited out", request: askFor(100), polls: 2, waits: 2 * time.Second, edit: func(a *linkAPI) {
			a.statuses = []string{"pending_approval", "pondering", "approved"}
		}},
		{
			name: "never decided", request: askFor(100), polls: 300, waits: 600 * time.Second, want: ErrPolling, canceled: 1,
			edit: func(a *linkAPI) { a.statuses = []string{"pending_approval"} },
		},
		{name: "token never there", request: askFor(100), want: errAny, canceled: 1, waits: 2 * time.Second, edit: func(a *linkAPI) { a.token = "null" }},
		{name: "token a moment late", request: askFor(100), waits: time.Second, edit: func(a *linkAPI) { a.fail[getToken] = 1 }},
		{name: "not a token", request: askFor(100), want: errAny, canceled: 1, waits: 2 * time.Second, edit: func(a *linkAPI) { a.token = `"tok_1"` }},
		{
			name: "half a cent is not asked for", want: errAny,
			request: Request{Amount: amount(5, "USD", 3), NetworkID: "profile_shop"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newLinkAPI(t)
				if tt.edit != nil {
					tt.edit(a)
				}
				shown := 0
				l := a.client(func(c *LinkConfig) {
					c.Show = func(_ context.Context, s SpendRequest) {
						if shown++; s.ApprovalURL == "" {
							t.Error("nowhere to decide")
						}
					}
				})
				start := time.Now()
				proof, err := l.Pay(t.Context(), tt.request)
				if waited := time.Since(start); waited != tt.waits {
					t.Errorf("waited %v, want %v", waited, tt.waits)
				}
				if !isError(err, tt.want) {
					t.Fatalf("error %v, want %v", err, tt.want)
				}
				if err == nil && (string(proof.Payload) != `{"spt":"spt_1"}` || proof.ID.Reveal() != "lsrq_1") {
					t.Errorf("proof %s", proof.Payload)
				}
				if got := a.count(getSpend); got < tt.polls || got > tt.polls+1 || a.count(getCancel) != tt.canceled {
					t.Errorf("%d polls, %d cancels; want %d, %d", got, a.count(getCancel), tt.polls, tt.canceled)
				}
				if (shown > 0) != (tt.polls > 0) {
					t.Errorf("shown %d times", shown)
				}
			})
		})
	}
}

var errAny = errors.New("any error")

// isError is errors.Is, where errAny stands for each error.
func isError(err, want error) bool {
	if errors.Is(want, errAny) {
		return err != nil
	}
	return errors.Is(err, want)
}

func TestLinkPayAsks(t *testing.T) {
	a := newLinkAPI(t)
	if _, err := a.client(nil).Pay(t.Context(), askFor(100)); err != nil {
		t.Fatal(err)
	}
	why, _ := a.created["context"].(string)
	delete(a.created, "context")
	if len([]rune(why)) < 100 {
		t.Errorf("context has %d characters", len([]rune(why)))
	}
	got, err := json.Marshal(a.created)
	const want = `{"amount":100,"credential_type":"shared_payment_token","currency":"usd","network_id":"profile_shop",` +
		`"payment_details":"csmrpd_2","request_approval":true,"test":true}`
	if err != nil || string(got) != want {
		t.Errorf("created %s, want %s", got, want)
	}
}

// The wallet's word about what was approved is compared, where it gives it.
func TestLinkPayRefusesAnotherApproval(t *testing.T) {
	for name, answer := range map[string]string{
		"amount": `"amount":200,"currency":"usd"`, "currency": `"amount":100,"currency":"eur"`, "seller": `"network_id":"profile_other"`,
	} {
		a := newLinkAPI(t)
		a.token = `"spt_1",` + answer
		if _, err := a.client(nil).Pay(t.Context(), askFor(100)); err == nil || a.count(getCancel) != 1 {
			t.Errorf("another %s: %v, %d cancels", name, err, a.count(getCancel))
		}
	}
}

func TestLinkPayIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newLinkAPI(t)
		a.statuses = []string{"pending_approval"}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := a.client(nil).Pay(ctx, askFor(100)); !errors.Is(err, context.DeadlineExceeded) || a.count(getCancel) != 1 {
			t.Errorf("%v, %d cancels", err, a.count(getCancel))
		}
	})
}

func TestLinkDiscard(t *testing.T) {
	for _, tt := range []struct {
		canceled, status string
		sure             bool
	}{
		{"canceled", "", true},
		{"approved", "", false},
		{"", "succeeded", false},
		{"", "approved", false},
		{"", "submitted", false},
		{"", "failed", true},
		{"", "expired", true},
		{"", "denied", true},
		{"", "what", false},
	} {
		a := newLinkAPI(t)
		a.canceled, a.statuses = tt.canceled, []string{tt.status}
		if err := a.client(nil).Discard(t.Context(), "lsrq_1"); (err == nil) != tt.sure {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if err := newLinkAPI(t).client(nil).Discard(t.Context(), "../userinfo"); err == nil {
		t.Error("a path is taken for an id")
	}
}

func TestLinkRefresh(t *testing.T) {
	t.Run("once, and the call is made again", func(t *testing.T) {
		a := newLinkAPI(t)
		a.access = "at_2"
		tokens := NewMemoryTokens(Tokens{Access: "at_1", Refresh: "rt_1"})
		l := a.client(func(c *LinkConfig) { c.Tokens = tokens })
		if _, err := l.Limits(t.Context()); err != nil || a.count("POST /device/token") != 1 {
			t.Errorf("%v, %v", err, a.calls)
		}
		if got, err := tokens.Load(t.Context()); err != nil || got.Access != "at_2x" || got.Refresh != "rt_1x" || got.Expires.IsZero() {
			t.Errorf("kept %q %q, %v", got.Access.Reveal(), got.Refresh.Reveal(), err)
		}
	})
	t.Run("one for many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newLinkAPI(t)
			a.access = "at_2"
			l := a.client(func(c *LinkConfig) {
				c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					resp, err := a.RoundTrip(r)
					time.Sleep(time.Second) // all are refused before one has refreshed
					return resp, err
				})}
			})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if _, err := l.Limits(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := a.count("POST /device/token"); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
	})
	for name, tokens := range map[string]Tokens{
		"no login": {}, "no refresh token": {Access: "old"}, "refresh token refused": {Access: "old", Refresh: "old"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newLinkAPI(t)
			l := a.client(func(c *LinkConfig) { c.Tokens = NewMemoryTokens(tokens) })
			if _, err := l.Limits(t.Context()); !errors.Is(err, ErrLogin) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("a token refused again is the end", func(t *testing.T) {
		a := newLinkAPI(t)
		l := a.client(nil)
		a.access = "never"
		a.refresh = "rt_1"
		l.cfg.HTTP.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Header.Set("Authorization", "Bearer x")
			return a.RoundTrip(r)
		})
		if _, err := l.Limits(t.Context()); !errors.Is(err, ErrLogin) || a.count("GET /userinfo") != 2 {
			t.Errorf("%v, %v", err, a.calls)
		}
	})
}

func TestLinkLogin(t *testing.T) {
	for _, tt := range []struct {
		name   string
		device []string
		want   error
		waits  time.Duration
	}{
		{"at once", []string{""}, nil, 3 * time.Second},
		{"pending, then slower", []string{"authorization_pending", "slow_down", ""}, nil, 14 * time.Second},
		{"denied", []string{"access_denied"}, ErrDenied, 3 * time.Second},
		{"expired", []string{"expired_token"}, ErrExpired, 3 * time.Second},
		{"never", strings.Split(strings.Repeat("authorization_pending ", 300), " "), ErrExpired, 600 * time.Second},
		{"something else", []string{"authorization_failed"}, errAny, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newLinkAPI(t)
				a.device = tt.device
				tokens := NewMemoryTokens(Tokens{})
				l := a.client(func(c *LinkConfig) { c.Tokens = tokens })
				start := time.Now()
				in, err := l.StartLogin(t.Context())
				if err != nil || in.Code != "AB-CD" || in.URL != "https://login.link.example/device" {
					t.Fatalf("%+v, %v", in, err)
				}
				err = l.FinishLogin(t.Context(), in)
				if !isError(err, tt.want) || time.Since(start) != tt.waits {
					t.Fatalf("%v after %v, want %v after %v", err, time.Since(start), tt.want, tt.waits)
				}
				got, lerr := tokens.Load(t.Context())
				if lerr != nil || (got.Access == "at_1") != (tt.want == nil) {
					t.Errorf("kept %q, %v", got.Access.Reveal(), lerr)
				}
				if err := l.Logout(t.Context()); err != nil {
					t.Error(err)
				}
				if got, err := tokens.Load(t.Context()); err != nil || got != (Tokens{}) {
					t.Errorf("after logout %v, %v", got, err)
				}
			})
		})
	}
}

func TestLinkReads(t *testing.T) {
	a := newLinkAPI(t)
	l := a.client(nil)
	methods, err := l.PaymentMethods(t.Context())
	if err != nil || len(methods) != 3 || methods[1].Last4 != "4242" || !methods[2].Default || methods[0].Capable["shared_payment_token"] {
		t.Errorf("%+v, %v", methods, err)
	}
	list, err := l.List(t.Context(), true)
	if err != nil || len(list) != 2 || list[1].Amount != amount(5, "JPY", 0) || list[0].Status != StatusDenied {
		t.Errorf("%+v, %v", list, err)
	}
	limits, err := l.Limits(t.Context())
	if err != nil || limits.PerPayment.Max != usd(50000) || limits.Day.Remaining != usd(49900) || limits.Month.Max.Valid() ||
		limits.StepUp != "ssn_verification" || limits.StepUpURL != "https://x/y" {
		t.Errorf("%+v, %v", limits, err)
	}
}

func TestLinkErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		code int
		body string
		want LinkError
	}{
		{"api", 429, `{"error":{"code":"spend_request_rate_limited","message":"slow\u001b[1m","retry_after":9,"duplicate_spend_request":"lsrq_9"}}`, LinkError{
			Call: "GET /userinfo", Status: 429, Code: "spend_request_rate_limited", Message: "slow", RetryAfter: 9 * time.Second, Duplicate: "lsrq_9",
		}},
		{"beside the error", 429, `{"error":"x","retry_after":9}`, LinkError{Call: "GET /userinfo", Status: 429, Code: "x", RetryAfter: 9 * time.Second}},
		{"address of something else", 403, `{"error":{"verification_url":"javascript:x","support_url":"https://s/"}}`, LinkError{
			Call: "GET /userinfo", Status: 403, URL: "https://s/",
		}},
		{"no json", 502, `<html>`, LinkError{Call: "GET /userinfo", Status: 502}},
		{"redirect", 302, ``, LinkError{Call: "GET /userinfo", Status: 302}},
		{"absurd wait", 429, `{"error":{"retry_after":9223372036854775807}}`, LinkError{Call: "GET /userinfo", Status: 429, RetryAfter: maxRetryAfter}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newLinkAPI(t)
			asked := 0
			l := a.client(func(c *LinkConfig) {
				c.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
					asked++
					rec := httptest.NewRecorder()
					rec.Header().Set("Location", "https://evil.example/")
					rec.WriteHeader(tt.code)
					rec.Body.WriteString(tt.body)
					return rec.Result(), nil
				})}
			})
			_, err := l.Limits(t.Context())
			e, ok := errors.AsType[*LinkError](err)
			if !ok || *e != tt.want || asked != 1 {
				t.Errorf("%+v, %d calls, want %+v", e, asked, tt.want)
			}
		})
	}
}

func TestNewLinkClientNamesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		want string
		c    LinkConfig
	}{
		{"Tokens", LinkConfig{}},
		{"BaseURL", LinkConfig{Tokens: &MemoryTokens{}, BaseURL: "http://api.link.example"}},
		{"BaseURL", LinkConfig{Tokens: &MemoryTokens{}, BaseURL: "https://user@api.link.example"}},
		{"AuthURL", LinkConfig{Tokens: &MemoryTokens{}, AuthURL: "login.link.example"}},
		{"Polls", LinkConfig{Tokens: &MemoryTokens{}, Polls: -1}},
	} {
		if _, err := NewLinkClient(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one that names %s", err, tt.want)
		}
	}
	if _, err := NewLinkClient(LinkConfig{Tokens: &MemoryTokens{}, BaseURL: "http://127.0.0.1:4022/", AuthURL: "http://localhost:4022"}); err != nil {
		t.Errorf("loopback: %v", err)
	}
}

func TestMinter(t *testing.T) {
	var got url.Values
	var header http.Header
	answer, code := `{"id":"spt_1"}`, 200
	api := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if got, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
		header = r.Header
		rec := httptest.NewRecorder()
		rec.WriteHeader(code)
		rec.Body.WriteString(answer)
		return rec.Result(), nil
	})}
	m, err := NewProcessorMinter(MinterConfig{Key: "sk_test_1", HTTP: api, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := m.Pay(t.Context(), askFor(150))
	if err != nil || string(proof.Payload) != `{"spt":"spt_1"}` {
		t.Fatalf("%s, %v", proof.Payload, err)
	}
	want := url.Values{
		"payment_method": {"pm_card_visa"}, "usage_limits[currency]": {"usd"}, "usage_limits[max_amount]": {"150"},
		"usage_limits[expires_at]": {"1793535000"}, "seller_details[network_id]": {"profile_shop"},
	}
	if got.Encode() != want.Encode() || header.Get("Stripe-Version") == "" || !strings.HasPrefix(header.Get("Authorization"), "Basic ") {
		t.Errorf("sent %v with %v", got, header)
	}
	for reason, sure := range map[string]bool{"revoked": true, "expired": true, "consumed": false, "": false} {
		answer = `{"deactivated_reason":"` + reason + `"}`
		if err := m.Discard(t.Context(), "spt_1"); (err == nil) != sure {
			t.Errorf("%q: %v", reason, err)
		}
	}
	for _, bad := range []string{`{}`, `{"id":"tok_1"}`, `x`} {
		answer = bad
		if _, err := m.Pay(t.Context(), askFor(1)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	answer, code = `{"error":{"type":"card_error","code":"card_declined","message":"spt_SECRET"}}`, 402
	_, err = m.Pay(t.Context(), askFor(1))
	if e, ok := errors.AsType[*ProcessorError](err); !ok || e.Code != "card_declined" || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v", err)
	}
	if _, err := NewProcessorMinter(MinterConfig{Key: "sk_live_1"}); err == nil || strings.Contains(err.Error(), "sk_live_1") {
		t.Errorf("a live key: %v", err)
	}
}

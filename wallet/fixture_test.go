package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

const (
	shopHost = "api.example.com"
	shopURL  = "https://" + shopHost + "/v1/report?day=1"
)

func usd(cents int64) money.Amount { return amount(cents, "USD", 2) }

func amount(units int64, currency string, scale int) money.Amount {
	a, err := money.New(units, currency, scale)
	if err != nil {
		panic(err)
	}
	return a
}

// freely allows ten dollars without asking.
func freely() Policy { return Policy{PerPayment: Limits{usd(1000)}, AskAbove: Limits{usd(1000)}} }

// seller is a server that issues and checks challenges with the scheme's own code. A
// challenge is charged once, and a credential whose charge is there is served again.
type seller struct {
	t     testing.TB
	realm string
	offer func(n int) []payment.Offer // of the nth bare request
	// bare and paid may answer the nth request of their kind instead.
	bare func(n int, w http.ResponseWriter, r *http.Request) bool
	paid func(n int, w http.ResponseWriter, r *http.Request) bool
	// after sees what was answered to the nth credential, and may lose it.
	after func(n int, resp *http.Response) (*http.Response, error)

	proto *mpp.Protocol

	mu            sync.Mutex
	bares, paids  int
	charges       map[string]string // challenge id to hash
	bodies        []string
	authorization []string
}

func newSeller(t testing.TB) *seller {
	t.Helper()
	ring, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: []byte(strings.Repeat("s", 32))})
	if err != nil {
		t.Fatal(err)
	}
	proto, err := mpp.New(mpp.Config{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	return &seller{
		t: t, realm: shopHost, proto: proto, charges: map[string]string{},
		offer: func(int) []payment.Offer { return []payment.Offer{stripeOffer(usd(100))} },
	}
}

func stripeOffer(a money.Amount) payment.Offer {
	return payment.Offer{
		Method: "stripe", Intent: "charge", Amount: a,
		Details: json.RawMessage(`{"networkId":"profile_shop","paymentMethodTypes":["card","link"]}`),
		Quote:   payment.Quote{Description: "One report"},
	}
}

func (s *seller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("seller: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	presented := s.proto.Presents(r.Header)
	if presented {
		s.paids++
		s.authorization = append(s.authorization, r.Header.Get("Authorization"))
		if s.paid != nil && s.paid(s.paids, w, r) {
			return
		}
	} else if s.bares++; s.bare != nil && s.bare(s.bares, w, r) {
		return
	}
	n := s.bares
	if presented {
		n = max(n, 1)
	}
	dialect, err := s.proto.Compile(s.realm, s.offer(n))
	if err != nil {
		s.t.Fatalf("seller: %v", err)
	}
	scope := payment.Scope{Tenant: s.realm, Route: "r", Method: r.Method, Target: r.URL.RequestURI()}
	if len(body) > 0 {
		scope.Digest = mpp.Digest(body)
	}
	if !presented {
		if err := dialect.Challenge(w.Header(), r, scope, time.Now()); err != nil {
			s.t.Fatalf("seller: %v", err)
		}
		writeProblem(w, http.StatusPaymentRequired, "payment-required", "Payment is required.")
		return
	}
	c, err := dialect.Credential(r, scope, time.Now())
	if err != nil {
		writeProblem(w, http.StatusPaymentRequired, "invalid-challenge", "Not ours.")
		return
	}
	if hash, used := s.charges[c.ChallengeID]; used && hash != c.Hash {
		writeProblem(w, http.StatusPaymentRequired, "invalid-challenge", "Used.")
		return
	}
	s.charges[c.ChallengeID] = c.Hash
	err = dialect.Receipt(w.Header(), payment.Payment{
		Method: "stripe", Reference: "pi_1", SettledAt: time.Now(), ChallengeID: c.ChallengeID,
	}, "aaaa.bbbb.cccc")
	if err != nil {
		s.t.Fatalf("seller: %v", err)
	}
	w.Header().Set("Paywall-Receipt", "aaaa.bbbb.cccc")
	fmt.Fprint(w, "the goods")
}

func writeProblem(w http.ResponseWriter, status int, slug, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	p := map[string]string{"detail": detail}
	if slug != "" {
		p["type"] = mpp.ProblemBase + slug
	}
	json.NewEncoder(w).Encode(p)
}

// RoundTrip carries a request to the seller without a network, so that a
// synctest bubble can wait on it.
func (s *seller) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, in)
	resp := rec.Result()
	resp.Request = r
	if s.after != nil && s.proto.Presents(r.Header) {
		return s.after(s.paids, resp)
	}
	return resp, nil
}

// counts are the requests without and with a credential, and the charges.
func (s *seller) counts() (bares, paids, charges int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bares, s.paids, len(s.charges)
}

// purse is a wallet that mints at once.
type purse struct {
	pay     func(ctx context.Context, r Request) error
	discard func(id Secret) error
	asks    bool

	mu        sync.Mutex
	requests  []Request
	discarded []Secret
}

func (p *purse) Pay(ctx context.Context, r Request) (Proof, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pay != nil {
		if err := p.pay(ctx, r); err != nil {
			return Proof{}, err
		}
	}
	p.requests = append(p.requests, r)
	id := fmt.Sprintf("spt_%d", len(p.requests))
	return Proof{Payload: json.RawMessage(`{"spt":"` + id + `"}`), ID: Secret(id)}, nil
}

func (p *purse) Discard(_ context.Context, id Secret) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discarded = append(p.discarded, id)
	if p.discard == nil {
		return errors.New("cannot tell")
	}
	return p.discard(id)
}

func (p *purse) Asks() bool { return p.asks }

func (p *purse) proofs() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

// rig is a transport that pays a seller from a purse.
type rig struct {
	*Transport
	seller *seller
	purse  *purse
	ledger *MemoryLedger
	client *http.Client
}

func newRig(t testing.TB, edit func(*rig, *Config)) *rig {
	t.Helper()
	r := &rig{seller: newSeller(t), purse: &purse{}, ledger: &MemoryLedger{}}
	cfg := Config{Base: r.seller, Wallet: r.purse, Policy: freely(), Ledger: r.ledger}
	if edit != nil {
		edit(r, &cfg)
	}
	tr, err := NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Transport, r.client = tr, &http.Client{Transport: tr}
	return r
}

func (r *rig) get(t testing.TB, url string) (*http.Response, string, error) {
	t.Helper()
	return r.send(t, http.MethodGet, url, "")
}

func (r *rig) send(t testing.TB, method, url, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), errors.Join(err, resp.Body.Close())
}

// spent is what the ledger counts, in cents.
func (r *rig) spent(t testing.TB) int64 {
	t.Helper()
	all, err := r.ledger.Spends(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, s := range all {
		n += s.Amount.Units()
	}
	return n
}

// kept is how many presentations the journal holds.
func (r *rig) kept(t testing.TB) int {
	t.Helper()
	list, err := r.cfg.Journal.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

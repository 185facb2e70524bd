package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/wallet"
)

// agent pays for requests at the level of the protocol, so that the test decides
// what is presented when.
type agent struct {
	client *http.Client
	// prove makes the proof of payment that a 402 asks for.
	prove func(ctx context.Context, asked answer) (proof, error)
}

// proof is what pays, once.
type proof struct {
	challenge, token string
	credential       http.Header
}

// newAgent pays over MPP with tokens of the processor's test helper.
func newAgent(t *testing.T, w *world, card string) *agent {
	t.Helper()
	m, err := wallet.NewProcessorMinter(wallet.MinterConfig{Key: testKey, BaseURL: w.sandbox, PaymentMethod: card})
	if err != nil {
		t.Fatal(err)
	}
	return &agent{client: plain(), prove: func(ctx context.Context, asked answer) (proof, error) { return mint(ctx, m, asked) }}
}

// purchase is a request with the credential that pays for it.
type purchase struct {
	method, url, body string
	proof
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) payment() string { return a.header.Get("Paywall-Payment-Id") }

// problem is the last part of the type of a problem document.
func (a answer) problem() string {
	var d struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(a.body, &d) != nil {
		return ""
	}
	return d.Type[strings.LastIndexAny(d.Type, "/:")+1:]
}

func (a *agent) do(ctx context.Context, method, url, body string, header http.Header) (answer, error) {
	var payload io.Reader = http.NoBody
	if body != "" {
		payload = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	return answer{resp.StatusCode, resp.Header, b.Bytes()}, err
}

// prepare asks for the price and makes a proof for it. Nothing is paid yet.
func (a *agent) prepare(ctx context.Context, method, url, body string) (purchase, error) {
	got, err := a.do(ctx, method, url, body, nil)
	if err != nil {
		return purchase{}, err
	}
	if got.status != http.StatusPaymentRequired {
		return purchase{}, fmt.Errorf("%s %s: %d %s, want 402", method, url, got.status, got.body)
	}
	pr, err := a.prove(ctx, got)
	return purchase{method: method, url: url, body: body, proof: pr}, err
}

// mint answers the first challenge of MPP with a token for it.
func mint(ctx context.Context, m *wallet.ProcessorMinter, asked answer) (proof, error) {
	offers, err := mpp.ParseChallenges(asked.header)
	if err != nil {
		return proof{}, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(offers[0].Request)
	if err != nil {
		return proof{}, err
	}
	var offer struct {
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
		Details  struct {
			NetworkID string `json:"networkId"`
		} `json:"methodDetails"`
	}
	if err := json.Unmarshal(raw, &offer); err != nil {
		return proof{}, err
	}
	units, err := strconv.ParseInt(offer.Amount, 10, 64)
	if err != nil {
		return proof{}, err
	}
	amount, err := money.New(units, strings.ToUpper(offer.Currency), 2)
	if err != nil {
		return proof{}, err
	}
	minted, err := m.Pay(ctx, wallet.Request{Amount: amount, NetworkID: offer.Details.NetworkID})
	if err != nil {
		return proof{}, err
	}
	cred, err := mpp.NewCredential(offers[0], minted.Payload)
	if err != nil {
		return proof{}, err
	}
	p := proof{challenge: offers[0].ID, token: minted.ID.Reveal(), credential: http.Header{}}
	return p, cred.Set(p.credential)
}

// present sends the request with its credential, once.
func (a *agent) present(ctx context.Context, p purchase) (answer, error) {
	return a.do(ctx, p.method, p.url, p.body, p.credential)
}

// insist presents the same credential again until the answer is a last one.
func (a *agent) insist(ctx context.Context, p purchase) (answer, error) {
	for {
		got, err := a.present(ctx, p)
		if err == nil && (!again(got.status) || got.underReview()) {
			return got, nil
		}
		select {
		case <-ctx.Done():
			return got, fmt.Errorf("no last answer: %d %s %w", got.status, got.body, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// again reports whether an answer asks to be asked again.
func again(status int) bool {
	return status >= 500 || status == http.StatusConflict || status == http.StatusTooManyRequests
}

// underReview reports whether an answer says that a person has the payment now:
// nothing more comes of presenting it in haste.
func (a answer) underReview() bool {
	return a.problem() == "payment-pending" && bytes.Contains(a.body, []byte("under review"))
}

// buy is prepare and insist, and demands the goods.
func (a *agent) buy(t *testing.T, method, url, body string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := a.prepare(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.insist(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, url, got.status, got.body)
	}
	return got
}

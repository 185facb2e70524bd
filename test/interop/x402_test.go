package interop

import (
	"encoding/json"
	"strings"
	"testing"
)

// payerKey is of nobody: 32 bytes 0x11. The sandbox gives every address money to play with.
const payerKey = "0x1111111111111111111111111111111111111111111111111111111111111111"

// A settled answer, as x402.mjs prints it.
type settled struct {
	Status         int
	Body           string
	CacheControl   string
	PaywallReceipt string
	// AnsweredIn is the version whose header the settlement came in.
	AnsweredIn int
	Settled    *struct {
		Success                     bool
		Transaction, Network, Payer string
	}
	// Receipt is what the extension's own verifier makes of our receipt.
	Receipt *struct {
		Kid     string
		Payload struct {
			Version                     int
			Network, ResourceURL, Payer string
			IssuedAt                    int64
		}
	}
	Payer string
}

func (s *stack) x402(t *testing.T, client string, args ...string) settled {
	t.Helper()
	out, status := s.node(t, []string{"PAYER_KEY=" + payerKey}, append([]string{"x402.mjs", client}, args...)...)
	var p settled
	if err := json.Unmarshal([]byte(out), &p); err != nil || status != 0 {
		t.Fatalf("client ended with %d, %v: %s", status, err, out)
	}
	return p
}

// TestX402Clients pays with the stock clients of both versions.
func TestX402Clients(t *testing.T) {
	needNode(t)
	s := start(t, cents)
	const body = `{"prompt":"a \"quoted\" word, ☕"}`
	for _, tt := range []struct {
		client  string
		version int
		network string
	}{
		{"fetch", 2, "eip155:84532"},
		{"both", 2, "eip155:84532"},
		{"axios", 2, "eip155:84532"},
		{"legacy", 1, "base-sepolia"},
	} {
		t.Run(tt.client+", GET", func(t *testing.T) {
			p := s.x402(t, tt.client, s.public+"/v1/quotes/7")
			p.paid(t, tt.version, tt.network, s.public+"/v1/quotes/7")
			s.reached(t, "GET /v1/quotes/7")
		})
		t.Run(tt.client+", POST with a body", func(t *testing.T) {
			p := s.x402(t, tt.client, s.public+"/v1/words", body)
			p.paid(t, tt.version, tt.network, s.public+"/v1/words")
			var got map[string]string
			if err := json.Unmarshal([]byte(p.Body), &got); err != nil || got["body"] != body {
				t.Errorf("the upstream got %q, %v", got["body"], err)
			}
			s.reached(t, "POST /v1/words")
		})
	}
	t.Run("a free route costs nothing", func(t *testing.T) {
		if p := s.x402(t, "fetch", s.public+"/health"); p.Status != 200 || p.Settled != nil {
			t.Errorf("%d %+v", p.Status, p.Settled)
		}
		s.reached(t, "GET /health")
	})
}

// paid checks that the resource came with a settlement in the payer's version and
// a receipt that the protocol's own verifier takes.
func (p settled) paid(t *testing.T, version int, network, url string) {
	t.Helper()
	if p.Status != 200 || p.Settled == nil {
		t.Fatalf("status %d, settlement %v: %s", p.Status, p.Settled, p.Body)
	}
	if p.AnsweredIn != version || !p.Settled.Success || p.Settled.Network != network || !strings.HasPrefix(p.Settled.Transaction, "0x") {
		t.Errorf("version %d: %+v", p.AnsweredIn, *p.Settled)
	}
	if !strings.EqualFold(p.Settled.Payer, p.Payer) {
		t.Errorf("payer %s, want %s", p.Settled.Payer, p.Payer)
	}
	if strings.Count(p.PaywallReceipt, ".") != 2 || !strings.Contains(p.CacheControl, "private") {
		t.Errorf("Paywall-Receipt %q, Cache-Control %q", p.PaywallReceipt, p.CacheControl)
	}
	if p.Receipt == nil {
		t.Fatal("no receipt in the settlement")
	}
	r := p.Receipt.Payload
	if r.Version != 1 || r.Network != "eip155:84532" || r.ResourceURL != url || !strings.EqualFold(r.Payer, p.Payer) || r.IssuedAt == 0 {
		t.Errorf("receipt %+v", r)
	}
}

// TestX402Facilitator lets a stock server of others settle Link tokens through us.
func TestX402Facilitator(t *testing.T) {
	needNode(t)
	s := start(t, cents)
	out, status := s.node(t, []string{
		"FACILITATOR_TOKEN=" + facilitatorToken, "LINK_NETWORK=stripe:test", "PROCESSOR_URL=" + s.sandbox,
		"PROCESSOR_KEY=" + secretKey, "PROFILE=" + profile,
	}, "x402server.mjs", s.public+"/x402")
	var got struct {
		Bought, Short struct {
			Status  int
			Body    string
			Settled *struct {
				Success              bool
				Transaction, Network string
				ErrorReason          string
			}
		}
		Served  int
		Charges []int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
		t.Fatalf("ended with %d, %v: %s", status, err, out)
	}
	b := got.Bought
	if b.Status != 200 || b.Settled == nil || !b.Settled.Success || !strings.HasPrefix(b.Settled.Transaction, "pi_") || b.Settled.Network != "stripe:test" {
		t.Errorf("bought: %d %+v %s", b.Status, b.Settled, b.Body)
	}
	if sh := got.Short; sh.Status == 200 || sh.Settled != nil && sh.Settled.Success {
		t.Errorf("a token below the price: %d %+v", sh.Status, sh.Settled)
	}
	if got.Served != 1 || len(got.Charges) != 1 || got.Charges[0] != 150 {
		t.Errorf("served %d times for charges of %v", got.Served, got.Charges)
	}
}

package gate_test

import (
	"context"
	"crypto/rand"
	"math/big"
	"sync/atomic"
	"testing"

	"paywall/gate"
	"paywall/payment"
	"paywall/x402"
	client "paywall/x402/facilitator"
)

type countingStore struct {
	payment.Store
	reads atomic.Int64
}

func (s *countingStore) ByChallenge(ctx context.Context, id string) (payment.Payment, error) {
	s.reads.Add(1)
	return s.Store.ByChallenge(ctx, id)
}

// Anybody can write an authorization that has expired: no signature is looked at.
func TestStablecoin_ForgedReadsOfTheStore(t *testing.T) {
	var st *countingStore
	h, _ := coinHouse(t, func(gc *gate.Config, pc *payment.Config) {
		gc.Limits = gate.Limits{}
		st = &countingStore{Store: pc.Store}
		pc.Store = st
	})
	router := h.route(gate.Route{})
	_, a, sig := signed(t, h, router)
	w := do(router, request(t, "GET", "/r", ""))
	var need x402.PaymentRequired
	_ = x402.Decode(w.Header().Get(x402.HeaderRequired), &need)
	a.ValidBefore = big.NewInt(1)
	limited := 0
	for range 1000 {
		_, _ = rand.Read(a.Nonce[:])
		w := do(router, with(request(t, "GET", "/r", ""), fieldOf(t, need.Accepts[0], a, sig), "203.0.113.9:9"))
		if w.Code == 429 {
			limited++
		}
	}
	if n := st.reads.Load(); n > 100 {
		t.Errorf("%d reads of the store for 1000 forged credentials of one client (%d answered 429)", n, limited)
	}
}

type forbidding struct{ *coins }

func (forbidding) Verify(context.Context, string, []byte) (client.Reply, error) {
	return client.Reply{Status: 403, Body: []byte(`<html>blocked</html>`)}, nil
}

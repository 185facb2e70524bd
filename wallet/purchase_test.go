package wallet

import (
	"context"
	"errors"
	"testing"

	"paywall/money"
)

// A purchase at a checkout is under the policy and the ledger of all payments.
func TestSpend(t *testing.T) {
	five, err := money.New(500, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	buy := Purchase{Request: Request{Amount: five, NetworkID: "profile_1", Host: "Shop.example."}, URL: "https://shop.example/", Method: "stripe"}
	var discardable bool
	r := newRig(t, func(r *rig, c *Config) {
		r.purse.discard = func(Secret) error {
			if discardable {
				return nil
			}
			return errors.New("cannot tell")
		}
		c.Policy.PerPayment, c.Policy.PerDay, c.Policy.AskAbove = Limits{five}, Limits{five}, Limits{five}
		c.Policy.Hosts = []string{"shop.example"}
	})
	proof, forget, err := r.Spend(t.Context(), buy)
	if err != nil || string(proof.Payload) != `{"spt":"spt_1"}` {
		t.Fatalf("%s, %v", proof.Payload, err)
	}
	if got := r.purse.requests[0]; got.Host != "shop.example" || got.Amount != five || got.NetworkID != "profile_1" {
		t.Errorf("the wallet was asked %+v", got)
	}
	if _, _, err := r.Spend(t.Context(), buy); !errors.Is(err, ErrPolicy) {
		t.Errorf("a second one on the same day: %v", err)
	}
	// What may still be charged goes on counting.
	if err := forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Spend(t.Context(), buy); !errors.Is(err, ErrPolicy) {
		t.Errorf("after a proof that may still be charged: %v", err)
	}
	discardable = true
	if err := forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Spend(t.Context(), buy); err != nil {
		t.Errorf("after a proof that is worthless: %v", err)
	}
	for name, change := range map[string]func(*Purchase){
		"another host": func(p *Purchase) { p.Host = "evil.example" },
		"too much":     func(p *Purchase) { p.Amount, _ = money.New(501, "USD", 2) },
		"a currency":   func(p *Purchase) { p.Amount, _ = money.New(1, "EUR", 2) },
		"nothing":      func(p *Purchase) { p.Amount, _ = money.New(0, "USD", 2) },
	} {
		p := buy
		change(&p)
		if _, _, err := r.Spend(t.Context(), p); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.purse.proofs(); n != 2 {
		t.Errorf("%d proofs were made", n)
	}
}

func TestSpend_AsksAndFails(t *testing.T) {
	five, err := money.New(500, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	buy := Purchase{Request: Request{Amount: five, Host: "shop.example", Description: "a \x1b[31mmug"}, Method: "stripe"}
	var asked Ask
	answer, broken := false, error(nil)
	r := newRig(t, func(r *rig, c *Config) {
		r.purse.pay = func(context.Context, Request) error { return broken }
		c.Policy.PerPayment, c.Policy.PerDay, c.Policy.AskAbove = Limits{five}, Limits{five}, nil
		c.Ask = func(_ context.Context, a Ask) (bool, error) { asked = a; return answer, nil }
	})
	if _, _, err := r.Spend(t.Context(), buy); !errors.Is(err, ErrDenied) || asked.Amount != five || asked.Description == buy.Description {
		t.Errorf("%+v, %v", asked, err)
	}
	answer, broken = true, errors.New("the wallet is away")
	if _, _, err := r.Spend(t.Context(), buy); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	broken = nil
	if _, _, err := r.Spend(t.Context(), buy); err != nil {
		t.Errorf("what was not paid counts: %v", err)
	}
	alone := newRig(t, func(_ *rig, c *Config) { c.Policy.PerPayment, c.Policy.AskAbove, c.Ask = Limits{five}, nil, nil })
	if _, _, err := alone.Spend(t.Context(), buy); !errors.Is(err, ErrPolicy) {
		t.Errorf("with nobody to ask: %v", err)
	}
}

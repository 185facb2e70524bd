package facilitator_test

import (
	"encoding/json"
	"sync"
	"testing"

	"paywall/methods/facilitator"
	"paywall/payment"
)

// An offer is good in whichever process it comes back, however many were made since,
// and in any spelling of its members; with a word changed it is good in none.
func TestInspect_OffersOfAnotherProcess(t *testing.T) {
	for _, scheme := range []string{facilitator.SchemeExact, facilitator.SchemeUpto} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			of := func(c *facilitator.Config) { c.Scheme = scheme }
			q := quote(t)
			q.Metered = scheme == facilitator.SchemeUpto
			maker := w.method(alone, of)
			o, err := maker.Offer(q)
			if err != nil {
				t.Fatal(err)
			}
			payload := signFor(t, o)

			// The first has offered since, with the money held and for another facilitator.
			later := q
			later.Hold = true
			w.kind = `{"facilitatorAddress":"` + payee + `"}`
			if _, err := maker.Offer(later); err != nil {
				t.Fatal(err)
			}
			spelled := o
			var members map[string]any
			if err := json.Unmarshal(o.Details, &members); err != nil {
				t.Fatal(err)
			}
			if spelled.Details, err = json.MarshalIndent(members, "", " "); err != nil {
				t.Fatal(err)
			}
			for name, m := range map[string]*facilitator.Method{"the same": maker, "another": w.method(alone, of)} {
				for range 2 {
					if _, err := m.Inspect(credential(o, "c", payload)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if _, err := m.Inspect(credential(spelled, "c", payload)); err != nil {
						t.Errorf("%s, spelled otherwise: %v", name, err)
					}
					turned := o
					turned.Details = replaced(o.Details, payee, executor)
					if _, err := m.Inspect(credential(turned, "c", payload)); err == nil {
						t.Errorf("%s takes an offer for another payee", name)
					}
				}
			}
		})
	}
}

func signFor(t *testing.T, o payment.Offer) string {
	t.Helper()
	if o.Metered {
		return signUpto(t, permit(t, o))
	}
	return signExact(t, authorization(t, o))
}

// Terms for money that is held are not those for money that is taken first, and what
// the holder of an offer does to it changes no other.
func TestInspect_OffersAreNotMixedUp(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	first, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	q := quote(t)
	q.Hold = true
	held, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	payload := signExact(t, authorization(t, first))
	for name, swap := range map[string][2]payment.Offer{"held": {first, held}, "first": {held, first}} {
		o := swap[0]
		o.Details = swap[1].Details
		if _, err := m.Inspect(credential(o, "c", payload)); err == nil {
			t.Errorf("an offer with the terms of one that is %s", name)
		}
	}
	clear(first.Details)
	again, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Inspect(credential(again, "c", payload)); err != nil {
		t.Errorf("after somebody wrote into an offer: %v", err)
	}
	if _, err := m.Inspect(credential(first, "c", payload)); err == nil {
		t.Error("the offer that was written into is good")
	}
}

func TestOffer_InParallelWithInspect(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	payload := signExact(t, authorization(t, o))
	q := quote(t)
	q.Hold = true
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if got, err := m.Offer(q); err != nil || string(got.Details) == string(o.Details) {
					t.Errorf("offer: %s, %v", got.Details, err)
				}
				if got, err := m.Offer(quote(t)); err != nil || string(got.Details) != string(o.Details) {
					t.Errorf("offer: %s, %v", got.Details, err)
				}
				if _, err := m.Inspect(credential(o, "c", payload)); err != nil {
					t.Errorf("inspect: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

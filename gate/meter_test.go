package gate

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"paywall/money"
	"paywall/payment"
)

func TestMeter_Used(t *testing.T) {
	coin := amount(t, 1_000_000, "USDC", 6) // of a price of 1.00 USD
	cents := amount(t, 100, "USD", 2)
	for _, tt := range []struct {
		name    string
		fields  []string
		ceiling money.Amount
		missing string
		want    int64
		trouble bool
		err     error
	}{
		{name: "in the price's currency", fields: []string{"0.0123 USD"}, ceiling: coin, want: 12_300},
		{name: "in the asset", fields: []string{"0.0123 USDC"}, ceiling: coin, want: 12_300},
		{name: "places that say nothing", fields: []string{"0.500000 USD"}, ceiling: cents, want: 50},
		{name: "whole", fields: []string{"1 USD"}, ceiling: cents, want: 100},
		{name: "nothing", fields: []string{"0 USD"}, ceiling: cents, want: 0},
		{name: "atomic units", fields: []string{`{"amount":"12300"}`}, ceiling: coin, want: 12_300},
		{name: "above the ceiling", fields: []string{"1.01 USD"}, ceiling: cents, want: 100, trouble: true},
		{name: "far above the ceiling", fields: []string{`{"amount":"9223372036854775807"}`}, ceiling: coin, want: 1_000_000, trouble: true},
		{name: "above what can be counted", fields: []string{`{"amount":"9223372036854775808"}`}, ceiling: coin, want: 1_000_000, trouble: true},
		{name: "above what can be counted, zero", missing: "zero", fields: []string{"99999999999999999999 USD"}, ceiling: coin, want: 1_000_000, trouble: true},
		{name: "above the ceiling, zero", fields: []string{"1.01 USD"}, missing: "zero", ceiling: cents, want: 100, trouble: true},
		{name: "above the ceiling, fail", fields: []string{"1.01 USD"}, missing: "fail", ceiling: cents, want: 100, trouble: true},
		{name: "not rounded", fields: []string{"0.0123 USD"}, ceiling: cents, missing: "zero", want: 0, trouble: true},
		{name: "missing, ceiling", ceiling: cents, want: 100, trouble: true},
		{name: "missing, zero", ceiling: cents, missing: "zero", want: 0, trouble: true},
		{name: "missing, fail", ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "twice", fields: []string{"0.10 USD", "0.20 USD"}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "another currency", fields: []string{"0.10 EUR"}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "no currency", fields: []string{"0.10"}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "negative", fields: []string{"-0.10 USD"}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "an exponent", fields: []string{"1e-1 USD"}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "empty", fields: []string{""}, ceiling: cents, missing: "fail", trouble: true, err: errUnmetered},
		{name: "a number of JSON", fields: []string{`{"amount":12300}`}, ceiling: coin, missing: "fail", trouble: true, err: errUnmetered},
		{name: "twice in JSON", fields: []string{`{"amount":"1","amount":"2"}`}, ceiling: coin, missing: "fail", trouble: true, err: errUnmetered},
		{name: "no amount in JSON", fields: []string{`{}`}, ceiling: coin, missing: "fail", trouble: true, err: errUnmetered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Meter{Missing: tt.missing}
			if err := m.check(); err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			for _, f := range tt.fields {
				h.Add(m.Header, f)
			}
			got, trouble, err := m.used(h, tt.ceiling, payment.Quote{Amount: amount(t, 100, "USD", 2)})
			if !errors.Is(err, tt.err) || (trouble != nil) != tt.trouble {
				t.Fatalf("%v, trouble %v", err, trouble)
			}
			if err == nil && (got.Units() != tt.want || got.Currency() != tt.ceiling.Currency() || got.Scale() != tt.ceiling.Scale()) {
				t.Errorf("%s, want %d units", got, tt.want)
			}
		})
	}
}

// FuzzMeter: whatever a handler says, what is taken is between nothing and the
// ceiling, in the ceiling's own units.
func FuzzMeter(f *testing.F) {
	for _, s := range []string{"0.0123 USD", `{"amount":"12300"}`, "1 USDC", "1.00000000000000000000 USD", `{"amount":"-1"}`, "9999999999 USD"} {
		f.Add(s, int64(1_000_000))
	}
	f.Fuzz(func(t *testing.T, field string, units int64) {
		if units <= 0 {
			return
		}
		ceiling, err := money.New(units, "USDC", 6)
		if err != nil {
			return
		}
		price, err := money.New(units, "USD", 6)
		if err != nil {
			t.Fatal(err)
		}
		for _, missing := range []string{"ceiling", "zero", "fail"} {
			m := Meter{Header: usedField, Missing: missing}
			got, _, err := m.used(http.Header{usedField: {field}}, ceiling, payment.Quote{Amount: price})
			if err != nil {
				if missing != "fail" {
					t.Errorf("%s: %v", missing, err)
				}
				continue
			}
			if got.Units() < 0 || got.Units() > units || got.Currency() != "USDC" || got.Scale() != 6 {
				t.Errorf("%q takes %s of %s", field, got, ceiling)
			}
		}
	})
}

func TestMeter_Check(t *testing.T) {
	for _, tt := range []struct {
		meter Meter
		want  string
	}{
		{Meter{}, ""},
		{Meter{Header: "settlement-overrides", Missing: "zero"}, ""},
		{Meter{Header: "a b"}, "not the name of a field"},
		{Meter{Missing: "free"}, "none of"},
	} {
		err := tt.meter.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.meter, err)
		}
	}
}

func amount(t testing.TB, units int64, currency string, scale int) money.Amount {
	t.Helper()
	a, err := money.New(units, currency, scale)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

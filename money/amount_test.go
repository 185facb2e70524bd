package money_test

import (
	"errors"
	"math"
	"testing"

	"paywall/money"
)

func amount(t *testing.T, units int64, currency string, scale int) money.Amount {
	t.Helper()
	a, err := money.New(units, currency, scale)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in, currency string
		scale              int
		want               int64
		wantErr            error
	}{
		{name: "cents", in: "1.50", currency: "USD", scale: 2, want: 150},
		{name: "whole", in: "7", currency: "USD", scale: 2, want: 700},
		{name: "a classic float trap", in: "0.29", currency: "USD", scale: 2, want: 29},
		{name: "zero decimal", in: "500", currency: "JPY", scale: 0, want: 500},
		{name: "a third place is refused, not rounded", in: "1.505", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "a place where there is none", in: "5.0", currency: "JPY", scale: 0, wantErr: money.ErrSyntax},
		{name: "largest", in: "92233720368547758.07", currency: "USD", scale: 2, want: math.MaxInt64},
		{name: "one more", in: "92233720368547758.08", currency: "USD", scale: 2, wantErr: money.ErrOverflow},
		{name: "sign", in: "-1", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "plus", in: "+1", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "exponent", in: "1e2", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "leading zero", in: "01", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "bare point", in: ".5", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "trailing point", in: "5.", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "full-width digits", in: "１", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "empty", in: "", currency: "USD", scale: 2, wantErr: money.ErrSyntax},
		{name: "no currency", in: "1", currency: "", scale: 2, wantErr: money.ErrCurrency},
		{name: "currency with a space", in: "1", currency: "usd ", scale: 2, wantErr: money.ErrCurrency},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := money.Parse(tt.in, tt.currency, tt.scale)
			if !errors.Is(err, tt.wantErr) || got.Units() != tt.want {
				t.Errorf("Parse(%q) = %v, %v; want %d units, %v", tt.in, got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestParsePrice(t *testing.T) {
	for _, tt := range []struct {
		in      string
		want    money.Amount
		wantErr error
	}{
		{in: "1.00 USD", want: amount(t, 100, "USD", 2)},
		{in: "0.0005 USD", want: amount(t, 5, "USD", 4)},
		{in: "3 JPY", want: amount(t, 3, "JPY", 0)},
		{in: "1.5 KWD", want: amount(t, 1500, "KWD", 3)},
		{in: "1.00", wantErr: money.ErrSyntax},
		{in: "1.00 usd", wantErr: money.ErrCurrency},
		{in: "1.00 XXX", wantErr: money.ErrCurrency},
		{in: "1.00 D A", wantErr: money.ErrCurrency},
		{in: "1.00  USD", wantErr: money.ErrCurrency},
	} {
		t.Run(tt.in, func(t *testing.T) {
			got, err := money.ParsePrice(tt.in)
			if !errors.Is(err, tt.wantErr) || got != tt.want {
				t.Errorf("got %v, %v; want %v, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestArithmeticRefusesToWrap(t *testing.T) {
	top := amount(t, math.MaxInt64, "USD", 2)
	low := amount(t, math.MinInt64, "USD", 2)
	one := amount(t, 1, "USD", 2)
	if _, err := top.Add(one); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("max + 1: %v", err)
	}
	if _, err := low.Sub(one); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("min - 1: %v", err)
	}
	if _, err := one.Sub(low); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("1 - min: %v", err)
	}
	if _, err := low.Mul(-1); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("min × -1: %v", err)
	}
	if _, err := top.Mul(2); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("max × 2: %v", err)
	}
	if _, err := top.Rescale(3); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("max at 3 places: %v", err)
	}
	if _, err := one.Add(amount(t, 1, "EUR", 2)); !errors.Is(err, money.ErrCurrency) {
		t.Errorf("USD + EUR: %v", err)
	}
	if _, err := one.Add(amount(t, 1, "USD", 3)); !errors.Is(err, money.ErrCurrency) {
		t.Errorf("two scales: %v", err)
	}
}

func TestRescaleNeverRounds(t *testing.T) {
	tenth := amount(t, 5, "USD", 3)
	if _, err := tenth.Rescale(2); !errors.Is(err, money.ErrInexact) {
		t.Errorf("half a cent at two places: %v", err)
	}
	got, err := amount(t, 1500, "USD", 3).Rescale(2)
	if err != nil || got != amount(t, 150, "USD", 2) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "1.50", "92233720368547758.07", "1e2", ".5", "00", "0.00"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, scale int) {
		a, err := money.Parse(s, "USD", scale)
		if err != nil {
			return
		}
		b, err := money.Parse(a.Decimal(), "USD", scale)
		if err != nil || a != b {
			t.Errorf("%q parsed to %v, which parses to %v, %v", s, a, b, err)
		}
	})
}

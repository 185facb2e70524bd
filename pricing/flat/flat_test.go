package flat_test

import (
	"net/http"
	"testing"

	"paywall/money"
	"paywall/pricing/flat"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in, want string
	}{
		{in: "1.00 USD", want: "1.00 USD"},
		{in: "0.01 USD", want: "0.01 USD"},
		{in: "500 JPY", want: "500 JPY"},
		{in: "1.500 KWD", want: "1.500 KWD"},
		{in: "0 USD"},
		{in: "0.00 USD"},
		{in: "-1.00 USD"},
		{in: ""},
		{in: "free"},
		{in: "1.00"},
		{in: "USD 1.00"},
		{in: "1,00 USD"},
		{in: "1e2 USD"},
	} {
		p, err := flat.Parse(tt.in)
		if (err == nil) != (tt.want != "") {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if err != nil {
			continue
		}
		q, err := p.Quote(t.Context(), &http.Request{}, nil)
		if err != nil || q.Amount.String() != tt.want || q.Version != "" {
			t.Errorf("Parse(%q) quotes %+v, %v", tt.in, q, err)
		}
		if all := p.Prices(); len(all) != 1 || all[0] != q.Amount {
			t.Errorf("Parse(%q) lists %v", tt.in, all)
		}
	}
	if _, err := flat.New(money.Amount{}); err == nil {
		t.Error("no amount was taken")
	}
}

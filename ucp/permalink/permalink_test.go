package permalink_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/checkout"
	"paywall/ucp/permalink"
)

func TestParse(t *testing.T) {
	got, err := permalink.Parse("report:1,~c2hpcnQgbQ:3", "discounts/codes/1=B&/discounts/codes/0=A&buyer/email=a@example.com&context/postal_code=94105&attribution/ref=x&line_items/0/price=1&continue_to=%2Fshop%3Fa%3Db")
	if err != nil {
		t.Fatal(err)
	}
	want := permalink.Link{ContinueTo: "/shop?a=b", Desired: checkout.Desired{
		Lines: []checkout.WantedLine{{Variant: "report", Quantity: 1}, {Variant: "shirt m", Quantity: 3}},
		Codes: []string{"A", "B"}, Buyer: checkout.Buyer{Email: "a@example.com"}, Context: checkout.Context{Postal: "94105"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := permalink.Parse("", ""); err != nil || len(got.Desired.Lines) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParse_Refusals(t *testing.T) {
	for _, items := range []string{
		"report", "report:0", "report:-1", "report:01", "report:1.5", "report:1,", ",report:1", "re port:1", "report:99999999999999999", "~!:1", "~:1", "~_w:1",
		"a/b:1", strings.Repeat("a:1,", 100) + "a:1", strings.Repeat("a", 9000) + ":1",
	} {
		if got, err := permalink.Parse(items, ""); !errors.Is(err, permalink.ErrLink) {
			t.Errorf("%.40q became %+v, %v", items, got, err)
		}
	}
	for _, to := range []string{
		"", "https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", "/a/../..//evil.example", "evil", "/a b", "/\u202e",
	} {
		if got, err := permalink.Parse("report:1", "continue_to="+url.QueryEscape(to)); !errors.Is(err, permalink.ErrLink) {
			t.Errorf("%q leads to %q, %v", to, got.ContinueTo, err)
		}
	}
	for _, query := range []string{"buyer/email=a&buyer/email=b", "a=%zz", "buyer/email=%ff"} {
		if _, err := permalink.Parse("report:1", query); !errors.Is(err, permalink.ErrLink) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestHandler(t *testing.T) {
	made := 0
	var fails error
	allowed := true
	h, err := permalink.New(permalink.Config{
		Base: "/shop/buy", Fallback: "/shop/",
		Create: func(_ context.Context, d checkout.Desired) (string, error) {
			made++
			return "/shop/checkout/" + d.Lines[0].Variant, fails
		},
		Allow: func(*http.Request) bool { return allowed },
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return w
	}
	for path, want := range map[string]string{
		"/shop/buy/report:1": "/shop/checkout/report",
		"/shop/buy/report:1?continue_to=/shop/orders/ord_1": "/shop/orders/ord_1",
		"/shop/buy/report": "/shop/",
		"/shop/buy/report:1?continue_to=//evil.example": "/shop/",
	} {
		w := get(http.MethodGet, path)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if made != 2 {
		t.Errorf("%d checkouts were made", made)
	}
	fails = errors.New("sold out")
	if w := get(http.MethodGet, "/shop/buy/report:1"); w.Header().Get("Location") != "/shop/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	allowed = false
	if w := get(http.MethodGet, "/shop/buy/report:1"); w.Code != http.StatusTooManyRequests || made != 3 {
		t.Errorf("%d, %d made", w.Code, made)
	}
	if w := get(http.MethodPost, "/shop/buy/report:1"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if w := get(http.MethodGet, "/elsewhere"); w.Code != http.StatusNotFound {
		t.Errorf("elsewhere: %d", w.Code)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("report:1,~c2hpcnQgbQ:3", "continue_to=/shop&discounts/codes/0=A")
	f.Add("a:1", "continue_to=//evil.example")
	f.Fuzz(func(t *testing.T, items, query string) {
		l, err := permalink.Parse(items, query)
		if err != nil {
			return
		}
		for _, line := range l.Desired.Lines {
			if line.Quantity < 1 || line.Quantity > checkout.MaxUnits || line.Variant == "" {
				t.Errorf("%q has the line %+v", items, line)
			}
		}
		if l.ContinueTo == "" {
			return
		}
		base := &url.URL{Scheme: "https", Host: "shop.example", Path: "/shop/buy/"}
		to, err := base.Parse(l.ContinueTo)
		if err != nil || to.Host != "shop.example" || to.Scheme != "https" {
			t.Errorf("%q leads to %v, %v", query, to, err)
		}
	})
}

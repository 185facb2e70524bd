package catalog_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paywall/checkout"
	"paywall/internal/catalog"
	"paywall/internal/config"
	"paywall/methods/stripe"
	"paywall/money"
	sandbox "paywall/sandbox/stripe"
)

const good = `currency: USD
products:
  - id: report
    title: Market report
    description: |
      Forty pages,
      every Monday
    categories: reports
    price: 5.00
    digital: true
  - id: shirt
    title: Shirt
    image: https://shop.example.com/shirt.png
    variants:
      - {id: shirt-m, title: Medium, price: 19.00 USD, stock: 40, options: {size: M}}
      - {id: shirt-l, price: "19.5", limit: 2, tax_class: clothes}
  - id: call
    title: A report by API
    digital: true
    opens: {route: reports}
  - {id: week, title: A week, price: 20, digital: true, opens: [{route: reports, for: 168h, uses: 100}]}
discounts:
  - {code: WELCOME, title: Ten percent off, percent: 10, ends: 2026-12-24}
  - {title: Over a hundred, amount: 5.00, minimum: 100.00}
taxes: [{country: US, region: CA, percent: 7.25, shipping: true}, {class: clothes, percent: 0}]
shipping: [{id: post, title: Post, price: 4.50, per_item: 0.50, free_from: 50.00, days: 3-5, countries: [US]}]
pickup: [{id: store, name: Main street, country: US}]
links: [{type: terms_of_service, url: "https://shop.example.com/terms"}]
`

func options(t testing.TB) catalog.Options {
	t.Helper()
	return catalog.Options{
		RoutePrice: func(route string) (money.Amount, bool) {
			if route != "reports" {
				return money.Amount{}, false
			}
			a, err := money.ParsePrice("1.25 USD")
			if err != nil {
				t.Fatal(err)
			}
			return a, true
		},
		Routes: []string{"reports"},
	}
}

func TestYAML(t *testing.T) {
	s, err := catalog.Parse("catalog.yaml", []byte(good), options(t))
	if err != nil {
		t.Fatal(err)
	}
	_, m, _ := s.Variant("shirt-m")
	_, l, _ := s.Variant("shirt-l")
	_, call, _ := s.Variant("call")
	_, week, _ := s.Variant("week")
	report, ok := s.Product("report")
	switch {
	case len(s.Products) != 4 || s.Currency != "USD" || s.Scale != 2 || s.Version == "":
		t.Errorf("%+v", s)
	case m.Price != 1900 || *m.Stock != 40 || m.Options[0] != (checkout.Option{Name: "size", Value: "M"}):
		t.Errorf("%+v", m)
	case l.Price != 1950 || l.Limit != 2 || l.Title != "Shirt" || l.TaxClass != "clothes":
		t.Errorf("%+v", l)
	case call.Price != 125 || call.Grants[0].Pass.Uses != 1: // the route's price
		t.Errorf("%+v", call)
	case week.Price != 2000 || week.Grants[0].Pass.For != 168*time.Hour || week.Grants[0].Pass.Uses != 100:
		t.Errorf("%+v", week)
	case !ok || report.Description != "Forty pages, every Monday" || report.Categories[0] != "reports":
		t.Errorf("%+v", report)
	case s.Discounts[0].BasisPoints != 1000 || s.Discounts[0].Ends.IsZero() || s.Discounts[1].Amount != 500 || s.Discounts[1].Minimum != 10000:
		t.Errorf("%+v", s.Discounts)
	case s.Taxes[0].Rate != 72500 || !s.Taxes[0].Shipping || s.Shipping[0].MaxDays != 5 || s.Shipping[0].FreeFrom != 5000 || s.Locations[0].ID != "store":
		t.Errorf("%+v", s)
	}
	again, err := catalog.Parse("catalog.yaml", []byte(good), options(t))
	if err != nil || again.Version != s.Version {
		t.Errorf("%s and %s, %v", s.Version, again.Version, err)
	}
	dearer := options(t)
	dearer.RoutePrice = func(string) (money.Amount, bool) { a, _ := money.ParsePrice("2.00 USD"); return a, true }
	if other, err := catalog.Parse("catalog.yaml", []byte(good), dearer); err != nil || other.Version == s.Version {
		t.Errorf("a route's new price is no new version: %v", err)
	}
}

// Every fault names its line, and all are told at once.
func TestYAML_Faults(t *testing.T) {
	const bad = `currency: USD
products:
  - id: report
    title: Market report
    price: 5.001
    prise: 5
  - id: report
    title: Twice
    price: 1.00 EUR
  - id: shirt
    title: Shirt
    price: 1
    variants: [{id: "a b", title: M, price: -1, stock: many}]
  - {id: call, title: Call, digital: true, opens: {route: nowhere}}
  - {id: mug, title: Mug, price: 1, opens: {route: reports}}
discounts: [{title: X, percent: 101}, {title: Y, percent: 1.234}, {title: Z, amount: 1, ends: tomorrow}]
taxes: [{country: Germany}]
`
	_, err := catalog.Parse("catalog.yaml", []byte(bad), options(t))
	var list config.Errors
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	// The reader stops at what it cannot read; then values are judged.
	if len(list) != 1 || list[0].Line != 6 || !strings.Contains(list[0].Message, "was price meant?") {
		t.Errorf("%v", err)
	}
	_, err = catalog.Parse("catalog.yaml", []byte(strings.Replace(bad, "    prise: 5\n", "", 1)), options(t))
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"catalog.yaml:5: products[0].price", "catalog.yaml:8: products[1].price", "catalog.yaml:11: products[2].price", "catalog.yaml:12: products[2].variants[0].price",
		"catalog.yaml:12: products[2].variants[0].stock", "catalog.yaml:13: products[3].opens", "catalog.yaml:14: products[4].opens", "catalog.yaml:15: discounts[1].percent",
		"catalog.yaml:15: discounts[2].ends", "catalog.yaml:16: taxes[0].percent",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	// What the shop itself refuses has its line, too.
	_, err = catalog.Parse("catalog.yaml", []byte("products:\n  - {id: a, title: A, price: 1, digital: true}\n  - {id: a, title: B, price: 1}\npickup: [{id: store, name: Main, country: Germany}]\n"), options(t))
	for _, want := range []string{"catalog.yaml:3: products[1].id", "catalog.yaml:4: pickup[0].country"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func TestCSV(t *testing.T) {
	const text = "\ufeffID,title,price,product,product_title,categories,stock,digital,options,route,for\n" +
		"report,Market report,5.00,,,reports; weekly,,yes,,,\n" +
		"shirt-m,Medium,19.00,shirt,Shirt,clothes,40,,size=M;colour=red,,\n" +
		"shirt-l,\"Large, long\",19.50,shirt,,,,no,size=L,,\n" +
		"week,A week,,,,,,true,,reports,168h\n"
	base, err := catalog.Parse("terms.yaml", []byte(good), options(t))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Base = base
	s, err := catalog.Parse("catalog.CSV", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	shirt, _ := s.Product("shirt")
	_, week, _ := s.Variant("week")
	if len(s.Products) != 3 || len(shirt.Variants) != 2 || shirt.Title != "Shirt" || *shirt.Variants[0].Stock != 40 || len(shirt.Variants[0].Options) != 2 || week.Price != 125 || len(s.Shipping) != 1 {
		t.Errorf("%+v", s.Products)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"a column":      {"id,titel,price\n", "was title meant?"},
		"no id":         {"title,price\n", "the column id is missing"},
		"twice":         {"id,id\n", "there twice"},
		"empty":         {"", "names the columns"},
		"a short row":   {"id,title,price\nreport,Report\n", "catalog.csv:2: has 2 values"},
		"a price":       {"id,title,price\nreport,Report,5\nmug,Mug,five\n", "catalog.csv:3: products[1].variants[0].price"},
		"quotes":        {"id,title,price\nreport,\"Report,5\n", "this is not CSV"},
		"credit":        {"id,title,price,digital,route,credit\nc,C,5,yes,reports,maybe\n", "credit: \"maybe\" is neither"},
		"sells none":    {"id,title,price,digital,route,credit\nc,C,5,yes,reports,yes\n", "sells no credit"},
		"neither":       {"id,title,price,digital\nreport,Report,5,maybe\n", "neither true nor false"},
		"the same item": {"id,title,price\nreport,Report,5\nreport,Report,5\n", "catalog.csv:3: products[0].variants[1].id"},
	} {
		if _, err := catalog.Parse("catalog.csv", []byte(tt.text), options(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Credit has a price of its own, and a time.
func TestCredit(t *testing.T) {
	o := options(t)
	o.CreditRoutes = []string{"reports"}
	for name, text := range map[string]string{
		"catalog.yaml": "currency: USD\nproducts:\n  - {id: c, title: C, price: 5.00, digital: true, opens: {route: reports, credit: true}}\n",
		"catalog.csv":  "id,title,price,digital,route,credit\nc,C,5.00,yes,reports,yes\n",
	} {
		s, err := catalog.Parse(name, []byte(text), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, one := range []*checkout.Shop{s, reread(t, s, o)} {
			_, v, _ := one.Variant("c")
			if len(v.Grants) != 1 || !v.Grants[0].Pass.Credit || v.Grants[0].Pass.For != 365*24*time.Hour || v.Price != 500 {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
	for text, want := range map[string]string{
		"{id: c, title: C, digital: true, opens: {route: reports, credit: true}}":                                           "price",
		"{id: c, title: C, price: 5.00, digital: true, opens: {route: reports, credit: true, uses: 5}}":                     "exclude each other",
		"{id: c, title: C, price: 5.00, digital: true, opens: [{route: reports, credit: true}, {route: reports, uses: 5}]}": "not both",
		"{id: c, title: C, price: 5.00, opens: {route: reports, credit: true}}":                                             "digital",
	} {
		if _, err := catalog.Parse("catalog.yaml", []byte("currency: USD\nproducts:\n  - "+text+"\n"), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func reread(t *testing.T, s *checkout.Shop, o catalog.Options) *checkout.Shop {
	t.Helper()
	again, err := catalog.Parse("catalog.yaml", catalog.Write(s), o)
	if err != nil {
		t.Fatalf("%v in\n%s", err, catalog.Write(s))
	}
	return again
}

// What is written reads back as it was.
func TestWrite(t *testing.T) {
	s, err := catalog.Parse("catalog.yaml", []byte(good), options(t))
	if err != nil {
		t.Fatal(err)
	}
	again, err := catalog.Parse("catalog.yaml", catalog.Write(s), options(t))
	if err != nil {
		t.Fatalf("%v in\n%s", err, catalog.Write(s))
	}
	if diff := cmp.Diff(s.Products, again.Products, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// The products at the processor are a catalog.
func TestFromStripe(t *testing.T) {
	psp := sandbox.New(sandbox.Config{})
	defer psp.Close()
	server := httptest.NewServer(psp)
	defer server.Close()
	m, err := stripe.New(stripe.Config{Key: "sk_test_x", Profile: "profile_test_x", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	post := func(path, form string) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
		r.Header.Set("Authorization", "Bearer sk_test_x")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		psp.ServeHTTP(w, r)
		_, rest, _ := strings.Cut(w.Body.String(), `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if w.Code != 200 || id == "" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return id
	}
	mug := post("/v1/products", "name=Mug&metadata[paywall_stock]=4&metadata[paywall_categories]=kitchen")
	large := post("/v1/prices", "product="+mug+"&currency=usd&unit_amount=900&nickname=Large")
	post("/v1/prices", "product="+mug+"&currency=eur&unit_amount=800")
	pass := post("/v1/products", "name=Pass&metadata[paywall_digital]=true&metadata[paywall_route]=reports&metadata[paywall_for]=24h")
	day := post("/v1/prices", "product="+pass+"&currency=usd&unit_amount=250")
	post("/v1/products", "name=Nothing")
	for range 120 { // more than a page
		post("/v1/prices", "product="+post("/v1/products", "name=Many")+"&currency=usd&unit_amount=5")
	}
	products, err := m.Products(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := catalog.FromStripe(products, options(t))
	if err != nil {
		t.Fatal(err)
	}
	_, l, _ := s.Variant(large)
	_, d, _ := s.Variant(day)
	if len(s.Products) != 122 || l.Price != 900 || l.Title != "Large" || *l.Stock != 4 || d.Grants[0].Route != "reports" || d.Grants[0].Pass.For != 24*time.Hour || !d.Digital {
		t.Errorf("%d products, %+v, %+v", len(s.Products), l, d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("catalog.yaml", good)
	f.Add("catalog.csv", "id,title,price\nreport,Report,5.00\n")
	o := options(f)
	f.Fuzz(func(t *testing.T, name, text string) {
		s, err := catalog.Parse(name, []byte(text), o)
		if err != nil {
			var list config.Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Errorf("%v", err)
			}
			return
		}
		// What is sold can be asked for, and written down and read again.
		if _, err := s.Search(checkout.Search{}); err != nil {
			t.Error(err)
		}
		if _, err := catalog.Parse("again.yaml", catalog.Write(s), o); err != nil {
			t.Errorf("%v in\n%s", err, catalog.Write(s))
		}
	})
}

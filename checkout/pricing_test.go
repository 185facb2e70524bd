package checkout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/checkout"
	"paywall/payment"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// sample is a shop with one of everything.
func sample() checkout.Shop {
	return checkout.Shop{
		Version: "v1", Currency: "USD", Scale: 2,
		Products: []checkout.Product{
			{ID: "report", Title: "Market report", Description: "Forty pages", Categories: []string{"Reports"}, Variants: []checkout.Variant{
				{ID: "report", Title: "Market report", Price: 500, Digital: true},
			}},
			{ID: "shirt", Title: "Shirt", Categories: []string{"Clothes"}, Variants: []checkout.Variant{
				{ID: "shirt-m", Title: "Medium", Price: 1900, Stock: new(int64(3)), TaxClass: "clothes", Options: []checkout.Option{{Name: "size", Value: "M"}}},
				{ID: "shirt-l", Title: "Large", Price: 1933, Limit: 2},
			}},
			{ID: "week", Title: "A week", Variants: []checkout.Variant{
				{ID: "week", Title: "A week", Price: 2000, Digital: true, Grants: []checkout.Grant{{Route: "reports", Pass: payment.Pass{For: time.Hour}}}},
			}},
			{ID: "gold", Title: "Gold", Variants: []checkout.Variant{{ID: "gold", Title: "Gold", Price: checkout.MaxUnits, Digital: true}}},
			{ID: "free", Title: "Free", Variants: []checkout.Variant{{ID: "free", Title: "Free", Digital: true}}},
		},
		Discounts: []checkout.Discount{
			{Code: "TEN", Title: "Ten percent", BasisPoints: 1000},
			{Code: "Shirts", Title: "Half a shirt", BasisPoints: 5000, Categories: []string{"clothes"}},
			{Code: "FIVE", Title: "Five dollars", Amount: 500},
			{Code: "EACH", Title: "A dollar each", Amount: 100, Each: true},
			{Code: "ALONE", Title: "Alone", BasisPoints: 2000, Alone: true},
			{Code: "OLD", Title: "Old", BasisPoints: 100, Ends: now},
			{Code: "NEW", Title: "New", BasisPoints: 100, Starts: now.Add(time.Second)},
			{Code: "BIG", Title: "Big orders", Amount: 100, Minimum: 10_000},
			{Title: "Many", Amount: 300, Minimum: 9_000},
		},
		Taxes: []checkout.TaxRule{
			{Country: "US", Region: "CA", Rate: 72_500, Shipping: true}, {Country: "US", Region: "CA", Class: "clothes", Rate: 0}, {Country: "DE", Rate: 190_000}, {Country: "US"},
		},
		Shipping: []checkout.ShippingRate{
			{ID: "post", Title: "Post", Countries: []string{"US"}, Price: 450, PerItem: 50, FreeFrom: 5000, MinDays: 3, MaxDays: 5},
			{ID: "fast", Title: "Courier", Regions: []string{"US-CA"}, Price: 1500},
		},
		Locations: []checkout.Location{{ID: "store", Name: "Main street", Address: checkout.Address{Country: "US", Region: "CA"}}},
	}
}

func shop(t testing.TB, change ...func(*checkout.Shop)) *checkout.Shop {
	t.Helper()
	s := sample()
	for _, f := range change {
		f(&s)
	}
	made, err := checkout.NewShop(s)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func pricing(s *checkout.Shop, d checkout.Desired) checkout.Pricing {
	n := 0
	return checkout.Pricing{
		Shop: s, Kind: checkout.KindCheckout, Desired: d, Now: now,
		NewID: func(prefix string) string { n++; return fmt.Sprintf("%s%d", prefix, n) },
	}
}

func lines(pairs ...any) []checkout.WantedLine {
	var out []checkout.WantedLine
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, checkout.WantedLine{Variant: pairs[i].(string), Quantity: int64(pairs[i+1].(int))})
	}
	return out
}

func california() []checkout.WantedMethod {
	return []checkout.WantedMethod{{Type: "shipping", Destinations: []checkout.Destination{{ID: "home", Address: checkout.Address{Country: "us", Region: "CA"}}}}}
}

func totals(p checkout.Priced) string {
	var out []string
	for _, one := range p.Totals {
		out = append(out, fmt.Sprintf("%s %d", one.Type, one.Amount))
	}
	return strings.Join(out, ", ")
}

func codes(p checkout.Priced) string {
	var out []string
	for _, m := range p.Messages {
		out = append(out, strings.TrimSpace(m.Type+" "+m.Code+" "+m.Path))
	}
	return strings.Join(out, "; ")
}

func TestPrice(t *testing.T) {
	us := checkout.Context{Country: "US"}
	buyer := checkout.Buyer{Email: "ada@example.com"}
	for name, tt := range map[string]struct {
		desired  checkout.Desired
		totals   string
		messages string
	}{
		"digital": {
			checkout.Desired{Lines: lines("report", 2), Context: us}, "subtotal 1000, tax 0, total 1000", "",
		},
		"no country": {
			checkout.Desired{Lines: lines("report", 1)}, "subtotal 500, total 500", "error missing $.context.address_country",
		},
		"a country with tax": {
			checkout.Desired{Lines: lines("report", 1), Context: checkout.Context{Country: "de"}}, "subtotal 500, tax 95, total 595", "",
		},
		"goods without an address": {
			checkout.Desired{Lines: lines("shirt-m", 1), Context: us, Buyer: buyer},
			"subtotal 1900, tax 0, total 1900",
			"error missing $.fulfillment.methods[0].selected_destination_id",
		},
		"goods without a buyer": {
			checkout.Desired{Lines: lines("shirt-m", 1), Fulfillment: []checkout.WantedMethod{{Type: "pickup"}}},
			"subtotal 1900, fulfillment 0, tax 0, total 1900",
			"error missing $.buyer.email",
		},
		"two ways of delivery": {
			checkout.Desired{Lines: lines("shirt-m", 1, "report", 1), Buyer: buyer, Fulfillment: california(), Context: checkout.Context{Country: "US", Region: "CA"}},
			"subtotal 2400, tax 36, total 2436", "error missing $.fulfillment.methods[0].groups[0].selected_option_id",
		},
		"a way that is chosen, taxed": {
			checkout.Desired{Lines: lines("shirt-m", 2), Buyer: buyer, Fulfillment: func() []checkout.WantedMethod {
				m := california()
				m[0].Groups = []checkout.WantedGroup{{Option: "post"}}
				return m
			}()},
			"subtotal 3800, fulfillment 550, tax 40, total 4390", "",
		},
		"nowhere": {
			checkout.Desired{Lines: lines("shirt-m", 1), Buyer: buyer, Fulfillment: []checkout.WantedMethod{{Destinations: []checkout.Destination{{Address: checkout.Address{Country: "FR"}}}}}},
			"subtotal 1900, tax 0, total 1900", "error address_undeliverable $.fulfillment.methods[0].selected_destination_id",
		},
		"ten percent of all": {
			checkout.Desired{Lines: lines("report", 1, "week", 1), Codes: []string{"ten"}, Context: us}, "subtotal 2500, discount -250, tax 0, total 2250", "",
		},
		"half of some": {
			checkout.Desired{Lines: lines("shirt-l", 1, "report", 1), Codes: []string{"SHIRTS"}, Buyer: buyer, Fulfillment: []checkout.WantedMethod{{Type: "pickup"}}, Context: us},
			"subtotal 2433, items_discount -967, fulfillment 0, tax 70, total 1536", "",
		},
		"one after the other": {
			checkout.Desired{Lines: lines("report", 2), Codes: []string{"EACH", "FIVE"}, Context: us}, "subtotal 1000, items_discount -200, discount -500, tax 0, total 300", "",
		},
		"never below nothing": {
			checkout.Desired{Lines: lines("report", 1), Codes: []string{"FIVE", "EACH"}, Context: us},
			"subtotal 500, discount -500, tax 0, total 0",
			"warning discount_code_invalid $.discounts.codes[1]",
		},
		"codes that do nothing": {
			checkout.Desired{Lines: lines("report", 1), Codes: []string{"nope", "OLD", "NEW", "BIG", "TEN", "ten", "ALONE", "Shirts"}, Context: us},
			"subtotal 500, discount -50, tax 0, total 450",
			"warning discount_code_invalid $.discounts.codes[0]; warning discount_code_expired $.discounts.codes[1]; warning discount_code_invalid $.discounts.codes[2]; " +
				"warning discount_code_invalid $.discounts.codes[3]; warning discount_code_already_applied $.discounts.codes[5]; " +
				"warning discount_code_combination_disallowed $.discounts.codes[6]; warning discount_code_invalid $.discounts.codes[7]",
		},
		"by itself": {
			checkout.Desired{Lines: lines("week", 5), Context: us}, "subtotal 10000, discount -300, tax 0, total 9700", "",
		},
		"less than was wanted": {
			checkout.Desired{Lines: lines("shirt-m", 2, "shirt-m", 4, "shirt-l", 9), Buyer: buyer, Fulfillment: []checkout.WantedMethod{{Type: "pickup"}}},
			"subtotal 9566, discount -300, fulfillment 0, tax 272, total 9538",
			"warning quantity_adjusted $.line_items[1].quantity; warning quantity_adjusted $.line_items[2].quantity",
		},
		"one line of two": {
			checkout.Desired{Lines: lines("nothing", 1, "report", 1), Context: us}, "subtotal 500, tax 0, total 500", "error item_unavailable $.line_items",
		},
		"free": {
			checkout.Desired{Lines: lines("free", 3), Context: us}, "subtotal 0, tax 0, total 0", "",
		},
		"the most there is": {
			checkout.Desired{Lines: lines("gold", 1), Context: us}, "subtotal 9007199254740991, discount -300, tax 0, total 9007199254740691", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pricing(shop(t), tt.desired).Price(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := totals(p); got != tt.totals {
				t.Errorf("%s\nwant %s", got, tt.totals)
			}
			if got := codes(p); got != tt.messages {
				t.Errorf("%s\nwant %s", got, tt.messages)
			}
			consistent(t, p)
		})
	}
}

func TestPrice_Refusals(t *testing.T) {
	for name, tt := range map[string]struct {
		desired checkout.Desired
		kind    checkout.ErrorKind
		path    string
	}{
		"nothing":          {checkout.Desired{}, checkout.KindInvalid, "$.line_items"},
		"G130: zero":       {checkout.Desired{Lines: lines("report", 0)}, checkout.KindInvalid, "$.line_items[0].quantity"},
		"G130: negative":   {checkout.Desired{Lines: lines("report", -1)}, checkout.KindInvalid, "$.line_items[0].quantity"},
		"G130: 2^53":       {checkout.Desired{Lines: lines("report", 1<<53)}, checkout.KindInvalid, "$.line_items[0].quantity"},
		"G130: product":    {checkout.Desired{Lines: lines("report", 1<<53-1), Context: checkout.Context{Country: "US"}}, checkout.KindInvalid, "$.line_items"},
		"G130: sum":        {checkout.Desired{Lines: lines("gold", 1, "free", 1, "report", 1), Context: checkout.Context{Country: "US"}}, checkout.KindInvalid, "$.line_items"},
		"G130: taxed sum":  {checkout.Desired{Lines: lines("gold", 1), Context: checkout.Context{Country: "DE"}}, checkout.KindInvalid, "$.line_items"},
		"nothing is left":  {checkout.Desired{Lines: lines("nothing", 1)}, checkout.KindUnavailable, "$.line_items"},
		"no item":          {checkout.Desired{Lines: lines("", 1)}, checkout.KindInvalid, "$.line_items[0].item.id"},
		"a parent":         {checkout.Desired{Lines: []checkout.WantedLine{{Variant: "report", Quantity: 1, Parent: "li_9"}}}, checkout.KindInvalid, "$.line_items[0].parent_id"},
		"a line twice":     {checkout.Desired{Lines: []checkout.WantedLine{{ID: "a", Variant: "report", Quantity: 1}, {ID: "a", Variant: "week", Quantity: 1}}}, checkout.KindInvalid, "$.line_items[1].id"},
		"many lines":       {checkout.Desired{Lines: slices.Repeat(lines("report", 1), 101)}, checkout.KindInvalid, "$.line_items"},
		"many codes":       {checkout.Desired{Lines: lines("report", 1), Codes: slices.Repeat([]string{"A"}, 21)}, checkout.KindInvalid, "$.discounts.codes"},
		"another method":   {checkout.Desired{Lines: lines("shirt-m", 1), Fulfillment: []checkout.WantedMethod{{Type: "drone"}}}, checkout.KindInvalid, "$.fulfillment.methods[0].type"},
		"an unknown line":  {checkout.Desired{Lines: lines("shirt-m", 1), Fulfillment: []checkout.WantedMethod{{Lines: []string{"li_9"}}}}, checkout.KindInvalid, "$.fulfillment.methods[0].line_item_ids[0]"},
		"no destination":   {checkout.Desired{Lines: lines("shirt-m", 1), Fulfillment: []checkout.WantedMethod{{Destination: "x"}}}, checkout.KindInvalid, "$.fulfillment.methods[0].selected_destination_id"},
		"a country's name": {checkout.Desired{Lines: lines("shirt-m", 1), Fulfillment: []checkout.WantedMethod{{Destinations: []checkout.Destination{{Address: checkout.Address{Country: "Germany"}}}}}}, checkout.KindInvalid, "$.fulfillment.methods[0].destinations[0].address_country"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pricing(shop(t), tt.desired).Price(t.Context())
			e, ok := errors.AsType[*checkout.Error](err)
			if !ok || e.Kind != tt.kind || e.Messages[0].Path != tt.path {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// What is the same thing keeps its id, and choices that were made stay.
func TestPrice_AgainKeepsIDs(t *testing.T) {
	s := shop(t)
	d := checkout.Desired{Lines: lines("report", 1, "shirt-m", 1, "shirt-m", 2), Buyer: checkout.Buyer{Email: "a@example.com"}, Fulfillment: california()}
	d.Fulfillment[0].Groups = []checkout.WantedGroup{{Option: "post"}}
	p := pricing(s, d)
	first, err := p.Price(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again := pricing(s, d)
	again.Before, again.NewID = first, p.NewID
	second, err := again.Price(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".alone" }, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	// An update that names ids, and nothing of what is kept.
	d.Lines = []checkout.WantedLine{{ID: first.Lines[1].ID, Variant: "shirt-l", Quantity: 1}, {ID: first.Lines[0].ID, Variant: "report", Quantity: 3}}
	d.Fulfillment = []checkout.WantedMethod{{ID: first.Fulfillment[0].ID, Type: "shipping", Lines: []string{first.Lines[1].ID}}}
	again.Desired = d
	third, err := again.Price(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, g := first.Fulfillment[0], third.Fulfillment[0]
	if third.Lines[0].ID != first.Lines[1].ID || g.ID != f.ID || g.Groups[0].ID != f.Groups[0].ID || g.Groups[0].Option != "post" || g.Destination != "home" {
		t.Errorf("%+v", third)
	}
	consistent(t, third)
}

type rates struct {
	options []checkout.FulfillmentOption
	tax     int64
	err     error
}

func TestPrice_RatesOfTheSeller(t *testing.T) {
	d := checkout.Desired{Lines: lines("shirt-m", 1), Buyer: checkout.Buyer{Email: "a@example.com"}, Fulfillment: california()}
	p := pricing(shop(t), d)
	p.Rates = seller{rates{options: []checkout.FulfillmentOption{{ID: "bike", Title: "Bike", Amount: 700}}, tax: 11}}
	got, err := p.Price(t.Context())
	if err != nil || totals(got) != "subtotal 1900, fulfillment 700, tax 11, total 2611" || codes(got) != "" {
		t.Errorf("%s, %s, %v", totals(got), codes(got), err)
	}
	p.Rates = seller{rates{err: errors.New("away")}}
	got, err = p.Price(t.Context())
	if err != nil || codes(got) != "error delivery_unavailable $.fulfillment.methods[0]; error tax_unavailable $.totals" {
		t.Errorf("%s, %v", codes(got), err)
	}
	p.Rates = seller{rates{err: checkout.ErrNoRate}}
	got, err = p.Price(t.Context())
	if err != nil || len(got.Fulfillment[0].Groups[0].Options) != 2 {
		t.Errorf("%s, %v", codes(got), err)
	}
}

// consistent holds what schemas cannot say against a price.
func consistent(t interface {
	Helper()
	Errorf(format string, args ...any)
}, p checkout.Priced,
) {
	t.Helper()
	sum, total, items, order := new(big.Int), new(big.Int), int64(0), int64(0)
	for _, one := range p.Totals {
		n := big.NewInt(one.Amount)
		switch one.Type {
		case checkout.TotalTotal:
			total.Set(n)
			continue
		case checkout.TotalItemsDiscount:
			items = -one.Amount
		case checkout.TotalDiscount:
			order = -one.Amount
		}
		if (one.Type == checkout.TotalItemsDiscount || one.Type == checkout.TotalDiscount) != (one.Amount < 0) {
			t.Errorf("%s is %d", one.Type, one.Amount)
		}
		sum.Add(sum, n)
	}
	if sum.Cmp(total) != 0 || total.Sign() < 0 || total.Cmp(big.NewInt(checkout.MaxUnits)) > 0 {
		t.Errorf("the sum is %s, the total %s", sum, total)
	}
	ids := map[string]bool{}
	var perLine, subtotal int64
	for _, l := range p.Lines {
		product := new(big.Int).Mul(big.NewInt(l.Price), big.NewInt(l.Quantity))
		if ids[l.ID] || l.Quantity < 1 || l.Discount < 0 || l.Total < 0 || l.Total != l.Subtotal-l.Discount || product.Cmp(big.NewInt(l.Subtotal)) != 0 {
			t.Errorf("line %+v", l)
		}
		ids[l.ID] = true
		perLine += l.Discount
		subtotal += l.Subtotal
	}
	var ofItems, ofOrder int64
	for i, a := range p.Applied {
		var shares int64
		for _, share := range a.Allocations {
			if !ids[share.Line] || share.Amount <= 0 {
				t.Errorf("allocation %+v", share)
			}
			shares += share.Amount
		}
		if shares != a.Amount || a.Amount <= 0 || a.Priority != i+1 {
			t.Errorf("discount %+v", a)
		}
		if a.Items {
			ofItems += a.Amount
		} else {
			ofOrder += a.Amount
		}
	}
	if ofItems != items || items != perLine || ofOrder != order || p.Totals[0].Type != checkout.TotalSubtotal || p.Totals[0].Amount != subtotal {
		t.Errorf("discounts %d and %d, of lines %d; the totals say %d and %d", ofItems, ofOrder, perLine, items, order)
	}
	assigned := map[string]bool{}
	for _, m := range p.Fulfillment {
		for _, l := range m.Lines {
			if assigned[l] || !ids[l] {
				t.Errorf("method %+v", m)
			}
			assigned[l] = true
		}
	}
}

func TestPrice_Properties(t *testing.T) {
	s := shop(t, func(s *checkout.Shop) {
		s.Products[3].Variants[0].Price = 7 // so that few sums are too large
		for i := range s.Products {
			for j := range s.Products[i].Variants {
				s.Products[i].Variants[j].Digital = true
			}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var d checkout.Desired
		for range rapid.IntRange(1, 8).Draw(t, "lines") {
			d.Lines = append(d.Lines, checkout.WantedLine{
				Variant:  rapid.SampledFrom([]string{"report", "shirt-m", "shirt-l", "week", "gold", "free", "nothing"}).Draw(t, "variant"),
				Quantity: rapid.Int64Range(1, 1000).Draw(t, "quantity"),
			})
		}
		d.Codes = rapid.SliceOfN(rapid.SampledFrom([]string{"TEN", "Shirts", "FIVE", "EACH", "ALONE", "BIG", "nope"}), 0, 4).Draw(t, "codes")
		d.Context.Country = rapid.SampledFrom([]string{"US", "DE"}).Draw(t, "country")
		p, err := pricing(s, d).Price(t.Context())
		if err != nil {
			if e, ok := errors.AsType[*checkout.Error](err); !ok || e.Kind != checkout.KindUnavailable {
				t.Fatal(err)
			}
			return
		}
		consistent(t, p)
		// The order of lines decides about stock alone, and not about what is paid.
		if !slices.ContainsFunc(p.Messages, func(m checkout.Message) bool { return m.Code == "quantity_adjusted" || m.Code == "out_of_stock" }) {
			slices.Reverse(d.Lines)
			r, err := pricing(s, d).Price(t.Context())
			if err != nil || r.Total() != p.Total() {
				t.Fatalf("%d, and the other way round %d, %v", p.Total(), r.Total(), err)
			}
		}
	})
}

func TestNewShop_Refusals(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*checkout.Shop)
		path   string
	}{
		"no currency":         {func(s *checkout.Shop) { s.Currency = "usd" }, "currency"},
		"another scale":       {func(s *checkout.Shop) { s.Scale = 3 }, "currency"},
		"nothing to sell":     {func(s *checkout.Shop) { s.Products = nil }, "products"},
		"an id twice":         {func(s *checkout.Shop) { s.Products[1].ID = "report" }, "products[1].id"},
		"a variant twice":     {func(s *checkout.Shop) { s.Products[1].Variants[1].ID = "report" }, "products[1].variants[1].id"},
		"a negative price":    {func(s *checkout.Shop) { s.Products[0].Variants[0].Price = -1 }, "products[0].variants[0].price"},
		"a price beyond 2^53": {func(s *checkout.Shop) { s.Products[0].Variants[0].Price = 1 << 53 }, "products[0].variants[0].price"},
		"two lines":           {func(s *checkout.Shop) { s.Products[0].Title = "a\nb" }, "products[0].title"},
		"a script as a page":  {func(s *checkout.Shop) { s.Products[0].URL = "javascript:alert(1)" }, "products[0].url"},
		"a route for a shirt": {func(s *checkout.Shop) {
			s.Products[1].Variants[0].Grants = []checkout.Grant{{Route: "a", Pass: payment.Pass{Uses: 1}}}
		}, "products[1].variants[0].opens"},
		"a pass for nothing": {func(s *checkout.Shop) { s.Products[2].Variants[0].Grants[0].Pass = payment.Pass{} }, "products[2].variants[0].opens[0]"},
		"two discounts":      {func(s *checkout.Shop) { s.Discounts[0].Code = "five" }, "discounts[2].code"},
		"more than all":      {func(s *checkout.Shop) { s.Discounts[0].BasisPoints = 10_001 }, "discounts[0]"},
		"both":               {func(s *checkout.Shop) { s.Discounts[0].Amount = 1 }, "discounts[0]"},
		"an unknown variant": {func(s *checkout.Shop) { s.Discounts[0].Variants = []string{"x"} }, "discounts[0].variants[0]"},
		"a tax twice":        {func(s *checkout.Shop) { s.Taxes[1].Class = "" }, "taxes[1]"},
		"a region alone":     {func(s *checkout.Shop) { s.Taxes[0].Country = "" }, "taxes[0].region"},
		"days in disorder":   {func(s *checkout.Shop) { s.Shipping[0].MaxDays = 1 }, "shipping[0].days"},
		"a link to nowhere":  {func(s *checkout.Shop) { s.Links = []checkout.Link{{Type: "faq", URL: "x"}} }, "links[0].url"},
	} {
		s := sample()
		tt.change(&s)
		_, err := checkout.NewShop(s)
		var e *checkout.ShopError
		if !errors.As(err, &e) || e.Path != tt.path {
			t.Errorf("%s: %v, want %s", name, err, tt.path)
		}
	}
}

func TestSearch(t *testing.T) {
	s := shop(t)
	find := func(q checkout.Search) string {
		t.Helper()
		page, err := s.Search(q)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, p := range page.Products {
			ids = append(ids, p.ID)
		}
		return strings.Join(ids, " ") + fmt.Sprintf(" of %d", page.Total)
	}
	low, high := int64(1900), int64(1950)
	for _, tt := range []struct {
		q    checkout.Search
		want string
	}{
		{checkout.Search{}, "report shirt week gold free of 5"},
		{checkout.Search{Query: "REPORT market"}, "report of 1"},
		{checkout.Search{Query: "medium"}, "shirt of 1"},
		{checkout.Search{Query: "e"}, "report week free shirt of 4"},
		{checkout.Search{Query: "shirt gold"}, " of 0"},
		{checkout.Search{Categories: []string{"CLOTHES", "none"}}, "shirt of 1"},
		{checkout.Search{Min: &low, Max: &high}, "shirt of 1"},
	} {
		if got := find(tt.q); got != tt.want {
			t.Errorf("%+v finds %s, want %s", tt.q, got, tt.want)
		}
	}
	q := checkout.Search{Limit: 2}
	var all []string
	for {
		page, err := s.Search(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Products {
			all = append(all, p.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		other := q
		other.Query = "x"
		if _, err := s.Search(other); !errors.Is(err, checkout.ErrCursor) {
			t.Errorf("the cursor of another search: %v", err)
		}
	}
	if got := strings.Join(all, " "); got != "report shirt week gold free" {
		t.Error(got)
	}
	if _, err := s.Search(checkout.Search{Cursor: "x"}); !errors.Is(err, checkout.ErrCursor) {
		t.Errorf("%v", err)
	}
	if p, ok := s.Product("shirt-l"); !ok || p.ID != "shirt" {
		t.Errorf("%+v", p)
	}
}

func FuzzPrice(f *testing.F) {
	f.Add([]byte(`{"lines":[{"variant":"report","quantity":1}],"codes":["TEN"],"context":{"country":"US"}}`))
	f.Add([]byte(`{"lines":[{"variant":"shirt-m","quantity":9}],"fulfillment":[{"type":"shipping","destinations":[{"id":"a","address":{"Country":"US"}}],"groups":[{"option":"post"}]}]}`))
	s := shop(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var d checkout.Desired
		if json.Unmarshal(data, &d) != nil {
			return
		}
		p, err := pricing(s, d).Price(t.Context())
		if err != nil {
			if e, ok := errors.AsType[*checkout.Error](err); !ok || e.Kind == checkout.KindInternal || len(e.Messages) == 0 {
				t.Error(err)
			}
			return
		}
		consistent(t, p)
	})
}

// seller is the seller's own services.
type seller struct{ rates }

func (s seller) Delivery(context.Context, checkout.Parcel) ([]checkout.FulfillmentOption, error) {
	return s.options, s.err
}

func (s seller) Tax(context.Context, checkout.Parcel, int64) (int64, error) { return s.tax, s.err }

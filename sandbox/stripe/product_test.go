package stripe_test

import (
	"testing"

	"paywall/sandbox/stripe"
)

// What is for sale can be made, changed, taken away and listed.
func TestProducts(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	mug := p.post("/v1/products", "name=Mug&metadata[paywall_stock]=4&images[]=https://shop.example/mug.png").ok(t).str("id")
	gone := p.post("/v1/products", "name=Old").ok(t).str("id")
	p.post("/v1/products/"+gone, "active=false").ok(t)
	price := p.post("/v1/prices", "product="+mug+"&currency=usd&unit_amount=900&nickname=Large").ok(t).str("id")
	p.post("/v1/prices", "product="+mug+"&currency=usd&unit_amount=100&recurring[interval]=month").ok(t)
	got := p.get("/v1/products", "active=true").ok(t)
	got.is(t, "data.0.id", mug)
	got.is(t, "data.0.metadata.paywall_stock", "4")
	got = p.get("/v1/prices", "active=true&type=one_time").ok(t)
	got.is(t, "data.0.id", price)
	got.is(t, "data.0.unit_amount", 900)
	got.is(t, "has_more", false)
	p.post("/v1/prices/"+price, "active=false").ok(t)
	if got := p.get("/v1/prices", "active=true&type=one_time").ok(t).raw; len(got) > 100 {
		t.Errorf("a price that was taken away is listed: %s", got)
	}
	for _, bad := range []reply{
		p.post("/v1/products", ""), p.post("/v1/prices", "product=prod_none&currency=usd&unit_amount=1"), p.get("/v1/products/prod_none", ""),
		p.post("/v1/prices", "product="+mug+"&currency=usd"),
	} {
		if bad.status/100 != 4 {
			t.Errorf("%d %s", bad.status, bad.raw)
		}
	}
}

package builtin

import (
	"maps"
	"slices"
	"strings"

	"paywall/internal/config"
	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/ucp/handler/challenge"
	handler "paywall/ucp/handler/stripe"
	"paywall/ucp/protocol"
)

// Till is the ways to pay at a checkout, and the documents that describe our own.
type Till struct {
	Handlers []protocol.Handler
	// Documents are by their path on this server.
	Documents map[string]Document
}

// Document is one that is served as it is.
type Document struct {
	Type string
	Data []byte
}

// HandlerDocuments is the path that documents of handlers lie under.
const HandlerDocuments = "/ucp/handlers/"

// Handlers makes the payment handlers of a shop, the preferred one first.
func Handlers(c *config.Config, rails Rails, protocols []payment.Protocol) (Till, error) {
	t := Till{Documents: map[string]Document{}}
	if h := c.Shop.Handlers.Stripe; h != nil && rails.Stripe != nil {
		members := map[string]string{"environment": "sandbox", "business_profile": c.Methods.Stripe.Profile}
		if c.Methods.Stripe.Live {
			members["environment"] = "production"
		}
		maps.Copy(members, h.Config)
		one, err := handler.New(handler.Config{
			ID: h.ID, Version: h.Version, Link: h.Link, Card: h.Card, Brands: h.Brands, Members: members, Offer: rails.Stripe.Offer,
		})
		if err != nil {
			return Till{}, err //nolint:wrapcheck // it names the handler
		}
		t.Handlers = append(t.Handlers, one)
	}
	if c.Shop.Authority == "" {
		return t, nil // our own handlers have no name
	}
	for _, p := range protocols {
		kind := challenge.Kind(p.Name())
		if kind == challenge.X402 && !c.Shop.Handlers.X402 || kind == challenge.MPP && !c.Shop.Handlers.MPP {
			continue
		}
		cfg := challenge.Config{
			Name: Reversed(c.Shop.Authority) + "." + string(kind), Kind: kind, ID: string(kind) + "_main", Protocol: p, Realm: c.Realm,
			Spec: c.PublicURL + HandlerDocuments + string(kind) + ".md", Ways: ways(c, rails, kind),
			Offers: func(q payment.Quote) []payment.Offer { return offers(rails.Methods, q) },
		}
		// Only the authority's own host can vouch for the schema.
		if c.Shop.Authority == c.Realm && strings.HasPrefix(c.PublicURL, "https://") {
			cfg.Schema = c.PublicURL + HandlerDocuments + string(kind) + ".json"
		}
		one, err := challenge.New(cfg)
		if err != nil {
			return Till{}, err //nolint:wrapcheck // it names the handler
		}
		schema, err := one.Schema()
		if err != nil {
			return Till{}, err //nolint:wrapcheck // it names the handler
		}
		t.Documents[HandlerDocuments+string(kind)+".json"] = Document{"application/schema+json", schema}
		t.Documents[HandlerDocuments+string(kind)+".md"] = Document{"text/markdown; charset=utf-8", one.Specification()}
		t.Handlers = append(t.Handlers, one)
	}
	return t, nil
}

// offers are what rails say to a quote.
func offers(methods []payment.Method, q payment.Quote) []payment.Offer {
	var list []payment.Offer
	for _, m := range methods {
		if o, err := m.Offer(q); err == nil && !o.Metered {
			list = append(list, o)
		}
	}
	return list
}

// ways are the networks of x402, or the methods of MPP, that a profile names.
func ways(c *config.Config, rails Rails, kind challenge.Kind) []string {
	list := []string{}
	if kind == challenge.MPP {
		if rails.Stripe != nil {
			list = append(list, stripe.Name)
		}
		return list
	}
	for _, f := range c.Methods.Facilitators {
		if !slices.Contains(list, f.Network) {
			list = append(list, f.Network)
		}
	}
	if l := c.X402.LinkTokens; l != nil {
		list = append(list, l.Network)
	}
	return list
}

// Reversed is a host name as the beginning of names: shop.example.com is com.example.shop.
func Reversed(host string) string {
	labels := strings.Split(host, ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

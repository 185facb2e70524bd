package shopping

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Message is what a shop says about a checkout.
type Message struct {
	Type     string `json:"type"`
	Code     string `json:"code"`
	Content  string `json:"content"`
	Path     string `json:"path,omitempty"`
	Severity string `json:"severity,omitempty"`
}

// Item asks for a quantity of a variant.
type Item struct {
	Variant  string
	Quantity int64
}

// Wanted is what a cart or checkout is to be. Empty parts are left out.
type Wanted struct {
	Cart    string
	Items   []Item
	Email   string
	Country string
	// Region and Postal are where the buyer is, for taxes of what needs no delivery.
	Region, Postal string
	Codes          []string
	// Ship is where goods go; nil for what needs no delivery.
	Ship *Address
	// Option is the id of a way of delivery.
	Option string
	// method and group are those of the checkout that is updated.
	method, group string
	lines         []string
}

// Address is in the words of the protocol.
type Address struct {
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Street    string `json:"street_address,omitempty"`
	Locality  string `json:"address_locality,omitempty"`
	Region    string `json:"address_region,omitempty"`
	Postal    string `json:"postal_code,omitempty"`
	Country   string `json:"address_country,omitempty"`
}

type object map[string]any

func (w Wanted) body() object {
	out := object{}
	if w.Cart != "" {
		out["cart_id"] = w.Cart
	}
	lines := []object{}
	for i, item := range w.Items {
		line := object{"item": object{"id": item.Variant}, "quantity": item.Quantity}
		if i < len(w.lines) {
			line["id"] = w.lines[i]
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 || w.Cart == "" {
		out["line_items"] = lines
	}
	if w.Email != "" {
		out["buyer"] = object{"email": w.Email}
	}
	where := object{}
	for name, value := range map[string]string{"address_country": w.Country, "address_region": w.Region, "postal_code": w.Postal} {
		if value != "" {
			where[name] = value
		}
	}
	if len(where) > 0 {
		out["context"] = where
	}
	if len(w.Codes) > 0 {
		out["discounts"] = object{"codes": w.Codes}
	}
	if w.Ship != nil {
		method := object{"type": "shipping", "destinations": []any{object{
			"type": "shipping_address", "id": "home", "first_name": w.Ship.FirstName, "last_name": w.Ship.LastName, "street_address": w.Ship.Street,
			"address_locality": w.Ship.Locality, "address_region": w.Ship.Region, "postal_code": w.Ship.Postal, "address_country": w.Ship.Country,
		}}, "selected_destination_id": "home"}
		if w.method != "" {
			method["id"] = w.method
		}
		if w.Option != "" {
			group := object{"selected_option_id": w.Option}
			if w.group != "" {
				group["id"] = w.group
			}
			method["groups"] = []object{group}
		}
		out["fulfillment"] = object{"methods": []object{method}}
	}
	return out
}

// Checkout is a checkout or cart as far as this side reads it.
type Checkout struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Currency  string `json:"currency"`
	LineItems []Line `json:"line_items"`
	Totals    []struct {
		Type   string `json:"type"`
		Amount int64  `json:"amount"`
		Text   string `json:"display_text"`
	} `json:"totals"`
	Messages    []Message `json:"messages"`
	ContinueURL string    `json:"continue_url"`
	Fulfillment struct {
		Methods []struct {
			ID     string `json:"id"`
			Groups []struct {
				ID      string `json:"id"`
				Option  string `json:"selected_option_id"`
				Options []struct {
					ID     string `json:"id"`
					Title  string `json:"title"`
					Totals []struct {
						Type   string `json:"type"`
						Amount int64  `json:"amount"`
					} `json:"totals"`
				} `json:"options"`
			} `json:"groups"`
		} `json:"methods"`
	} `json:"fulfillment"`
	UCP struct {
		Handlers map[string][]Handler `json:"payment_handlers"`
	} `json:"ucp"`
	Order *struct {
		ID        string `json:"id"`
		Permalink string `json:"permalink_url"`
	} `json:"order"`
}

// Line is one line.
type Line struct {
	ID   string `json:"id"`
	Item struct {
		ID    string `json:"id"`
		Title string `json:"title"`
		Price int64  `json:"price"`
	} `json:"item"`
	Quantity json.RawMessage `json:"quantity"`
	Status   string          `json:"status"`
}

// Total is the amount to pay, in minor units of the currency.
func (c Checkout) Total() (int64, bool) {
	for _, t := range c.Totals {
		if t.Type == "total" {
			return t.Amount, true
		}
	}
	return 0, false
}

// Create makes a checkout.
func (c *Client) Create(ctx context.Context, s Shop, w Wanted) (Checkout, error) {
	var out Checkout
	err := c.call(ctx, s, http.MethodPost, "/checkout-sessions", c.cfg.NewKey(), w.body(), &out)
	return out, err
}

// Update replaces what a checkout asks for. before is as it was answered last.
func (c *Client) Update(ctx context.Context, s Shop, before Checkout, w Wanted) (Checkout, error) {
	for _, l := range before.LineItems {
		w.lines = append(w.lines, l.ID)
	}
	for _, m := range before.Fulfillment.Methods {
		w.method = m.ID
		for _, g := range m.Groups {
			w.group = g.ID
		}
	}
	var out Checkout
	err := c.call(ctx, s, http.MethodPut, "/checkout-sessions/"+url.PathEscape(before.ID), c.cfg.NewKey(), w.body(), &out)
	return out, err
}

// Get reads a checkout.
func (c *Client) Get(ctx context.Context, s Shop, id string) (Checkout, error) {
	var out Checkout
	err := c.call(ctx, s, http.MethodGet, "/checkout-sessions/"+url.PathEscape(id), "", nil, &out)
	return out, err
}

// Cancel ends a checkout.
func (c *Client) Cancel(ctx context.Context, s Shop, id string) (Checkout, error) {
	var out Checkout
	err := c.call(ctx, s, http.MethodPost, "/checkout-sessions/"+url.PathEscape(id)+"/cancel", c.cfg.NewKey(), object{}, &out)
	return out, err
}

// Instrument pays a checkout. Credential is a bearer secret.
type Instrument struct {
	ID         string `json:"id"`
	HandlerID  string `json:"handler_id"`
	Type       string `json:"type"`
	Credential any    `json:"credential"`
}

// Complete pays a checkout. The key is the caller's: after an answer that was lost,
// the same one is used again.
func (c *Client) Complete(ctx context.Context, s Shop, id, key string, in ...Instrument) (Checkout, error) {
	var out Checkout
	body := object{"payment": object{"instruments": append([]Instrument{}, in...)}}
	err := c.call(ctx, s, http.MethodPost, "/checkout-sessions/"+url.PathEscape(id)+"/complete", key, body, &out)
	return out, err
}

// CreateCart makes a cart.
func (c *Client) CreateCart(ctx context.Context, s Shop, w Wanted) (Checkout, error) {
	var out Checkout
	err := c.call(ctx, s, http.MethodPost, "/carts", c.cfg.NewKey(), w.body(), &out)
	return out, err
}

// Order reads an order, as the shop has it.
func (c *Client) Order(ctx context.Context, s Shop, id string) (Order, error) {
	var out Order
	err := c.call(ctx, s, http.MethodGet, "/orders/"+url.PathEscape(id), "", nil, &out.raw)
	if err == nil {
		if err = json.Unmarshal(out.raw, &out.known); err != nil {
			err = fmt.Errorf("the order cannot be read: %w", err)
		}
	}
	return out, err
}

// Order is an order, whole.
type Order struct {
	raw   json.RawMessage
	known struct {
		ID          string `json:"id"`
		Permalink   string `json:"permalink_url"`
		Currency    string `json:"currency"`
		LineItems   []Line `json:"line_items"`
		Adjustments []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"adjustments"`
	}
}

// ID is the order's id.
func (o Order) ID() string { return o.known.ID }

// Permalink is the order's page.
func (o Order) Permalink() string { return o.known.Permalink }

// Lines are the order's lines with their status.
func (o Order) Lines() []Line { return o.known.LineItems }

// Raw is the order as it was sent.
func (o Order) Raw() json.RawMessage { return o.raw }

// Receipt opens a priced route of the shop's server.
type Receipt struct {
	// Title is of the item that it was bought with, Opens the URL that it opens.
	Title string `json:"title"`
	Opens string `json:"opens"`
	Token string `json:"token"`
}

// Receipts reads what an order opens from the order's page. Having its link is the
// right to read it.
func (c *Client) Receipts(ctx context.Context, s Shop, permalink string) ([]Receipt, error) {
	if !strings.HasPrefix(permalink, s.Origin+"/") {
		return nil, fmt.Errorf("%w: the order's page is not at the shop", ErrRefused)
	}
	var out struct {
		Receipts []Receipt `json:"receipts"`
	}
	err := c.call(ctx, Shop{Endpoint: permalink}, http.MethodGet, "", "", nil, &out)
	return out.Receipts, err
}

// Product is one that was found.
type Product struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Variants []struct {
		ID    string `json:"id"`
		Title string `json:"title"`
		Price struct {
			Amount   int64  `json:"amount"`
			Currency string `json:"currency"`
		} `json:"price"`
		Availability struct {
			Available bool `json:"available"`
		} `json:"availability"`
	} `json:"variants"`
}

// Search finds products by words.
func (c *Client) Search(ctx context.Context, s Shop, query string, limit int) ([]Product, error) {
	var out struct {
		Products []Product `json:"products"`
	}
	body := object{"pagination": object{"limit": limit}}
	if query != "" {
		body["query"] = query
	}
	err := c.call(ctx, s, http.MethodPost, "/catalog/search", "", body, &out)
	return out.Products, err
}

package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"
)

// Product is one of the seller's active products, with the prices it is sold at.
type Product struct {
	ID, Name, Description, Image, URL string
	TaxCode                           string
	Metadata                          map[string]string
	// Prices are active ones for a single payment of a fixed amount.
	Prices []Price
}

// Price is an amount in the minor units of a currency.
type Price struct {
	ID, Nickname, Currency string
	Units                  int64
	Metadata               map[string]string
}

// maxProducts bounds how many products, and prices, are read.
const maxProducts = 10_000

// ErrTooMany is returned when there are more products than are read.
var ErrTooMany = errors.New("too many products")

// A product and a price as far as they are read.
type (
	product struct {
		ID          string            `json:"id"`
		Object      string            `json:"object"`
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Images      []string          `json:"images"`
		URL         string            `json:"url"`
		TaxCode     reference         `json:"tax_code"`
		Metadata    map[string]string `json:"metadata"`
	}
	price struct {
		ID         string            `json:"id"`
		Object     string            `json:"object"`
		Nickname   string            `json:"nickname"`
		Currency   string            `json:"currency"`
		UnitAmount *int64            `json:"unit_amount"`
		Type       string            `json:"type"`
		Product    reference         `json:"product"`
		Metadata   map[string]string `json:"metadata"`
	}
)

// Products lists the seller's active products that have a price, in the processor's
// order. Prices that are not of a fixed amount are left out.
func (m *Method) Products(ctx context.Context) ([]Product, error) {
	yes := true
	var products []Product
	where := map[string]int{}
	err := m.each(ctx, "/v1/products", func(list sdk.ListParams) any { return &sdk.ProductListParams{ListParams: list, Active: &yes} },
		func(data json.RawMessage) (string, bool) {
			var p product
			if json.Unmarshal(data, &p) != nil || p.Object != "product" || p.ID == "" || p.Name == "" {
				return "", false
			}
			one := Product{ID: p.ID, Name: p.Name, Description: p.Description, URL: p.URL, TaxCode: string(p.TaxCode), Metadata: p.Metadata}
			if len(p.Images) > 0 {
				one.Image = p.Images[0]
			}
			where[p.ID] = len(products)
			products = append(products, one)
			return p.ID, true
		})
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	once := string(sdk.PriceTypeOneTime)
	err = m.each(ctx, "/v1/prices", func(list sdk.ListParams) any {
		return &sdk.PriceListParams{ListParams: list, Active: &yes, Type: &once}
	}, func(data json.RawMessage) (string, bool) {
		var p price
		if json.Unmarshal(data, &p) != nil || p.Object != "price" || p.ID == "" || p.Currency == "" {
			return "", false
		}
		if i, ok := where[string(p.Product)]; ok && p.UnitAmount != nil && p.Type == once {
			products[i].Prices = append(products[i].Prices, Price{
				ID: p.ID, Nickname: p.Nickname, Currency: strings.ToUpper(p.Currency), Units: *p.UnitAmount, Metadata: p.Metadata,
			})
		}
		return p.ID, true
	})
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	sold := products[:0]
	for _, p := range products {
		if len(p.Prices) > 0 {
			sold = append(sold, p)
		}
	}
	return sold, nil
}

// each reads a list page by page. take returns the id of an object, or false when it
// is none of this list.
func (m *Method) each(ctx context.Context, path string, params func(sdk.ListParams) any, take func(json.RawMessage) (string, bool)) error {
	after := ""
	for n := 0; n < maxProducts; {
		list := sdk.ListParams{Limit: sdk.Int64(pageSize)}
		if after != "" {
			list.StartingAfter = sdk.String(after)
		}
		a := m.send(ctx, call{op: "list", method: http.MethodGet, path: path, version: m.cfg.APIVersion, account: m.cfg.Account, limit: maxPage}, query(params(list)))
		var page page[json.RawMessage]
		if !a.read(&page) || !page.sound() || *page.HasMore && len(page.Data) == 0 {
			return a.odd()
		}
		for _, data := range page.Data {
			id, ok := take(data)
			if !ok {
				return a.odd()
			}
			after = id
			n++
		}
		if !*page.HasMore {
			return nil
		}
	}
	return ErrTooMany
}

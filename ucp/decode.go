package ucp

import (
	"encoding/json"
	"errors"
	"strings"

	"paywall/checkout"
	"paywall/internal/strictjson"
	"paywall/ucp/protocol"
)

// limits are those of a body.
var limits = strictjson.Limits{Bytes: maxBody, Depth: 32, Members: 256, String: 32 << 10}

// decode reads a body. Members that are not known, or that the client may not decide,
// are not read at all. An empty body is an empty object.
func decode(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	if err := strictjson.Check(body, limits); err != nil {
		return &protocol.Fault{Code: protocol.InvalidRequest, Content: "The body is not JSON that can be read in one way only.", Err: err}
	}
	err := json.Unmarshal(body, into)
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := te.Field
		if where == "" {
			where = "the body"
		}
		return &protocol.Fault{Code: protocol.InvalidRequest, Content: "There is a value of the wrong type in " + where + ".", Err: err}
	}
	if err != nil {
		return &protocol.Fault{Code: protocol.InvalidRequest, Content: "The body cannot be read.", Err: err}
	}
	return nil
}

// Bodies of requests, as far as they are read.
type (
	sessionBody struct {
		Cart  string `json:"cart_id"`
		Lines []struct {
			ID   string `json:"id"`
			Item struct {
				ID string `json:"id"`
			} `json:"item"`
			Quantity *int64 `json:"quantity"`
			Parent   string `json:"parent_id"`
		} `json:"line_items"`
		Buyer       buyerBody         `json:"buyer"`
		Context     contextBody       `json:"context"`
		Attribution map[string]string `json:"attribution"`
		Discounts   struct {
			Codes []string `json:"codes"`
		} `json:"discounts"`
		Fulfillment struct {
			Methods []methodBody `json:"methods"`
		} `json:"fulfillment"`
	}
	buyerBody struct {
		FirstName string          `json:"first_name"`
		LastName  string          `json:"last_name"`
		Email     string          `json:"email"`
		Phone     string          `json:"phone_number"`
		Consent   json.RawMessage `json:"consent"`
	}
	contextBody struct {
		Country  string `json:"address_country"`
		Region   string `json:"address_region"`
		Postal   string `json:"postal_code"`
		Language string `json:"language"`
		Currency string `json:"currency"`
		Intent   string `json:"intent"`
	}
	methodBody struct {
		ID           string            `json:"id"`
		Type         string            `json:"type"`
		Lines        []string          `json:"line_item_ids"`
		Destinations []destinationBody `json:"destinations"`
		Selected     string            `json:"selected_destination_id"`
		Groups       []struct {
			ID       string `json:"id"`
			Selected string `json:"selected_option_id"`
		} `json:"groups"`
	}
	destinationBody struct {
		ID string `json:"id"`
		addressBody
	}
	addressBody struct {
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
		Phone     string `json:"phone_number"`
		Street    string `json:"street_address"`
		Extended  string `json:"extended_address"`
		Locality  string `json:"address_locality"`
		Region    string `json:"address_region"`
		Postal    string `json:"postal_code"`
		Country   string `json:"address_country"`
	}
	completeBody struct {
		Payment struct {
			Instruments []instrumentBody `json:"instruments"`
		} `json:"payment"`
	}
	instrumentBody struct {
		ID         string          `json:"id"`
		HandlerID  string          `json:"handler_id"`
		Type       string          `json:"type"`
		Credential json.RawMessage `json:"credential"`
		Billing    addressBody     `json:"billing_address"`
		Selected   bool            `json:"selected"`
	}
)

func (a addressBody) address() checkout.Address {
	return checkout.Address{
		FirstName: a.FirstName, LastName: a.LastName, Phone: a.Phone, Street: a.Street, Extended: a.Extended,
		Locality: a.Locality, Region: a.Region, Postal: a.Postal, Country: a.Country,
	}
}

// desired reads what a checkout or cart is to be. Of extensions that were not
// negotiated nothing is read.
func (c *call) desired() (checkout.Desired, error) {
	var in sessionBody
	if err := decode(c.body, &in); err != nil {
		return checkout.Desired{}, err
	}
	d := checkout.Desired{
		Buyer:       checkout.Buyer{FirstName: in.Buyer.FirstName, LastName: in.Buyer.LastName, Email: in.Buyer.Email, Phone: in.Buyer.Phone},
		Context:     checkout.Context(in.Context),
		Attribution: in.Attribution,
	}
	for _, l := range in.Lines {
		line := checkout.WantedLine{ID: l.ID, Variant: l.Item.ID, Parent: l.Parent}
		if l.Quantity != nil {
			line.Quantity = *l.Quantity
		}
		d.Lines = append(d.Lines, line)
	}
	if c.peer.Has(protocol.Cart) {
		d.Cart = in.Cart
	}
	if c.peer.Has(protocol.Discount) {
		d.Codes = in.Discounts.Codes
	}
	if c.peer.Has(protocol.BuyerConsent) {
		var err error
		if d.Buyer.Consent, err = consent(c.v, in.Buyer.Consent); err != nil {
			return checkout.Desired{}, err
		}
	}
	if c.peer.Has(protocol.Fulfillment) {
		for _, m := range in.Fulfillment.Methods {
			w := checkout.WantedMethod{ID: m.ID, Type: m.Type, Lines: m.Lines, Destination: m.Selected}
			for _, to := range m.Destinations {
				w.Destinations = append(w.Destinations, checkout.Destination{ID: to.ID, Address: to.address()})
			}
			for _, g := range m.Groups {
				w.Groups = append(w.Groups, checkout.WantedGroup{ID: g.ID, Option: g.Selected})
			}
			d.Fulfillment = append(d.Fulfillment, w)
		}
	}
	return d, bounded(d)
}

// bounded refuses texts that are longer than anybody's.
func bounded(d checkout.Desired) error {
	const most = 512
	texts := []string{d.Cart, d.Buyer.FirstName, d.Buyer.LastName, d.Buyer.Email, d.Buyer.Phone, d.Context.Country, d.Context.Region, d.Context.Postal, d.Context.Language, d.Context.Currency}
	texts = append(texts, d.Codes...)
	for _, l := range d.Lines {
		texts = append(texts, l.ID, l.Variant, l.Parent)
	}
	for _, m := range d.Fulfillment {
		for _, to := range m.Destinations {
			a := to.Address
			texts = append(texts, to.ID, a.FirstName, a.LastName, a.Phone, a.Street, a.Extended, a.Locality, a.Region, a.Postal, a.Country)
		}
	}
	for name, value := range d.Attribution {
		texts = append(texts, name, value)
	}
	for _, s := range texts {
		if len(s) > most {
			return &protocol.Fault{Code: protocol.InvalidRequest, Content: "There is a text of more than 512 bytes."}
		}
	}
	if len(d.Context.Intent) > 8*most || len(d.Attribution) > 64 {
		return &protocol.Fault{Code: protocol.InvalidRequest, Content: "The context or attribution is too large."}
	}
	return nil
}

const consentPrefix = "dev.ucp.consent."

// formerConsent are the names of consents in the older version, and here.
var formerConsent = map[string]string{"analytics": "analytics", "preferences": "preferences", "marketing": "marketing", "sale_of_data": "sale_or_sharing"}

// maxConsents bounds how many consents one buyer gives.
const maxConsents = 32

func consent(v protocol.Version, raw json.RawMessage) (map[string]checkout.Consent, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil //nolint:nilnil // none was given
	}
	bad := &protocol.Fault{Code: protocol.InvalidRequest, Content: "buyer.consent does not have the form of this version."}
	out := map[string]checkout.Consent{}
	if v == protocol.April2026 {
		var in map[string]bool
		if json.Unmarshal(raw, &in) != nil {
			return nil, bad
		}
		for name, granted := range in {
			if now, ok := formerConsent[name]; ok {
				out[consentPrefix+now] = checkout.Consent{Granted: granted, Source: "platform"}
			}
		}
		return out, nil
	}
	var in map[string]struct {
		Granted *bool  `json:"granted"`
		Source  string `json:"source"`
	}
	if json.Unmarshal(raw, &in) != nil || len(in) > maxConsents {
		return nil, bad
	}
	for name, given := range in {
		if given.Granted == nil || !strings.Contains(name, ".") || len(name) > 128 {
			return nil, bad
		}
		if given.Source != "business" {
			given.Source = "platform"
		}
		out[name] = checkout.Consent{Granted: *given.Granted, Source: given.Source}
	}
	return out, nil
}

// instrument picks the one that pays: the only one, or the one that is selected.
func instrument(list []instrumentBody) (protocol.Instrument, error) {
	chosen := list
	if len(list) > 1 {
		chosen = nil
		for _, one := range list {
			if one.Selected {
				chosen = append(chosen, one)
			}
		}
	}
	if len(chosen) != 1 {
		return protocol.Instrument{}, checkout.Refuse(checkout.KindPayment, "payment_failed",
			"Pay with exactly one instrument. Nothing was charged.", "$.payment.instruments", checkout.Recoverable)
	}
	i := chosen[0]
	return protocol.Instrument{ID: i.ID, HandlerID: i.HandlerID, Type: i.Type, Credential: i.Credential, Billing: i.Billing.address()}, nil
}

package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The two kinds of credential an agent may ask for. A card request with
// execution method link_pay_token yields a token of that name instead.
const (
	credentialCard  = "card"
	credentialToken = "shared_payment_token"
	payToken        = "link_pay_token"
)

const (
	maxBody    = 64 << 10
	minContext = 100
	maxContext = 4000
	maxText    = 500
	maxURL     = 2048
	maxLines   = 100
	maxCents   = 1_000_000_000_000 // keeps quantity times amount far from overflow
	maxCount   = 1_000_000
)

// A LineItem is one thing to be bought, as the agent describes it. Amounts are
// minor units.
type LineItem struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	SKU         string  `json:"sku,omitempty"`
	URL         string  `json:"url,omitempty"`
	ImageURL    string  `json:"image_url,omitempty"`
	ProductURL  string  `json:"product_url,omitempty"`
	Quantity    *int64  `json:"quantity,omitempty"`
	UnitAmount  *int64  `json:"unit_amount,omitempty"`
	Totals      []Total `json:"totals,omitempty"`
}

// A Total is one row under the line items, as the agent computed it; nothing
// makes the rows add up.
type Total struct {
	Type        string `json:"type"`
	DisplayText string `json:"display_text"`
	Amount      int64  `json:"amount"`
}

var totalTypes = []string{
	"subtotal", "tax", "total", "items_base_amount", "items_discount", "discount", "fulfillment", "shipping", "fee",
	"gift_wrap", "tip", "store_credit",
}

// A draft is the body of POST /spend_requests after checking.
type draft struct {
	PaymentDetails  string            `json:"payment_details,omitempty"`
	CredentialType  string            `json:"credential_type,omitempty"`
	NetworkID       string            `json:"network_id,omitempty"`
	ExecutionMethod string            `json:"execution_method,omitempty"`
	MerchantAccount string            `json:"merchant_account_id,omitempty"`
	Amount          int64             `json:"amount"`
	Currency        string            `json:"currency"`
	MerchantName    string            `json:"merchant_name,omitempty"`
	MerchantURL     string            `json:"merchant_url,omitempty"`
	Context         string            `json:"context"`
	LineItems       []LineItem        `json:"line_items,omitempty"`
	Totals          []Total           `json:"totals,omitempty"`
	RequestApproval bool              `json:"request_approval,omitempty"`
	Test            bool              `json:"test,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	IdempotencyKey  string            `json:"idempotency_key,omitempty"`
}

// same reports whether d asks for the same thing as other.
func (d *draft) same(other *draft) bool {
	a, b := *d, *other
	a.IdempotencyKey, b.IdempotencyKey = "", ""
	return reflect.DeepEqual(a, b)
}

// parseDraft reads and checks the body of a creation. Names it does not know
// are passed over, as the real interface grows; what it knows has to be right.
func parseDraft(body []byte) (*draft, error) {
	f, err := readFields(body)
	if err != nil {
		return nil, err
	}
	if f.has("expires_at") {
		// Only clients on a list of Link's may choose the expiry.
		return nil, invalid("expires_at is not supported for this client")
	}
	d := &draft{
		PaymentDetails:  f.text("payment_details", maxText),
		CredentialType:  orElse(f.text("credential_type", maxText), credentialCard),
		NetworkID:       f.text("network_id", maxText),
		ExecutionMethod: f.text("execution_method", maxText),
		MerchantAccount: f.text("merchant_account_id", maxText),
		Currency:        strings.ToLower(orElse(f.text("currency", maxText), "usd")),
		MerchantName:    f.text("merchant_name", maxText),
		MerchantURL:     f.text("merchant_url", maxURL),
		Context:         f.text("context", maxContext),
		LineItems:       f.lineItems("line_items"),
		Totals:          f.totals("totals"),
		RequestApproval: f.flag("request_approval"),
		Test:            f.flag("test"),
		Metadata:        f.metadata("metadata"),
		IdempotencyKey:  f.text("idempotency_key", 255),
	}
	if n := f.integer("amount", maxCents); n != nil {
		d.Amount = *n
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *draft) check() error {
	if d.Amount <= 0 {
		return invalid("amount is required and must be a positive integer in the smallest currency unit")
	}
	if !isCurrency(d.Currency) {
		return invalid("currency must be a three-letter ISO code")
	}
	// Counted in what a person can read: a hundred invisible characters explain nothing.
	if utf8.RuneCountInString(clean(d.Context, maxContext)) < minContext {
		return invalid(fmt.Sprintf("context must be at least %d characters: say what is bought and why", minContext))
	}
	switch {
	case d.ExecutionMethod != "" || d.MerchantAccount != "":
		return d.checkPayToken()
	case d.CredentialType == credentialToken:
		switch {
		case d.NetworkID == "":
			return invalid("network_id is required when credential_type is shared_payment_token")
		case d.MerchantName != "" || d.MerchantURL != "":
			return invalid("merchant_name and merchant_url cannot be used when credential_type is shared_payment_token")
		}
		return nil
	case d.CredentialType == credentialCard:
		switch {
		case d.NetworkID != "":
			return invalid("network_id can only be used when credential_type is shared_payment_token")
		case d.MerchantName == "":
			return invalid("merchant_name is required when credential_type is card")
		case !isWebURL(d.MerchantURL):
			return invalid("merchant_url is required when credential_type is card and must be an http or https URL")
		}
		return nil
	}
	return invalid("credential_type must be card or shared_payment_token")
}

func (d *draft) checkPayToken() error {
	switch {
	case d.ExecutionMethod != payToken:
		return invalid("execution_method link_pay_token is required when merchant_account_id is provided")
	case d.MerchantAccount == "":
		return invalid("merchant_account_id is required when execution_method is link_pay_token")
	case d.CredentialType != credentialCard:
		return invalid("credential_type must be card when execution_method is link_pay_token")
	case d.NetworkID != "":
		return invalid("network_id cannot be used when execution_method is link_pay_token")
	case d.MerchantName != "" || d.MerchantURL != "":
		return invalid("merchant_name and merchant_url cannot be used when execution_method is link_pay_token")
	case d.Test:
		return invalid("test cannot be used when execution_method is link_pay_token")
	}
	return nil
}

// update lays the fields of an update body over a copy of d and checks it again.
// profile_id and merchant_id name who is paid in older clients; they stand for
// network_id and merchant_account_id.
func (d *draft) update(body []byte) (*draft, error) {
	f, err := readFields(body)
	if err != nil {
		return nil, err
	}
	next := *d
	setText := func(field *string, name string, limit int) {
		if f.has(name) {
			*field = f.text(name, limit)
		}
	}
	setText(&next.PaymentDetails, "payment_details", maxText)
	setText(&next.MerchantURL, "merchant_url", maxURL)
	setText(&next.NetworkID, "profile_id", maxText)
	setText(&next.MerchantAccount, "merchant_id", maxText)
	if f.has("currency") {
		next.Currency = strings.ToLower(f.text("currency", maxText))
	}
	if n := f.integer("amount", maxCents); n != nil {
		next.Amount = *n
	}
	if f.has("line_items") {
		next.LineItems = f.lineItems("line_items")
	}
	if f.has("totals") {
		next.Totals = f.totals("totals")
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	return &next, nil
}

// fields is a JSON object under reading; the first wrong field stays in err.
type fields struct {
	m   map[string]any
	at  string // path of the object, with a dot at its end, for messages
	err *refusal
}

func readFields(body []byte) (*fields, error) {
	if !utf8.Valid(body) {
		return nil, invalid("The body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil || m == nil {
		return nil, invalid("The body must be a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("The body must be one JSON object")
	}
	return &fields{m: m}, nil
}

func (f *fields) has(name string) bool { return f.m[name] != nil } // null is as good as absent

func (f *fields) wrong(name, want string) {
	if f.err == nil {
		f.err = invalid(f.at + name + " must be " + want)
	}
}

func (f *fields) text(name string, limit int) string {
	if !f.has(name) {
		return ""
	}
	s, ok := f.m[name].(string)
	if !ok || utf8.RuneCountInString(s) > limit {
		f.wrong(name, fmt.Sprintf("a string of at most %d characters", limit))
		return ""
	}
	return s
}

func (f *fields) flag(name string) bool {
	b, ok := f.m[name].(bool)
	if f.has(name) && !ok {
		f.wrong(name, "true or false")
	}
	return b
}

// integer returns nil for an absent field. 1.0 and 1e2 are refused: an amount
// is written in one way.
func (f *fields) integer(name string, limit int64) *int64 {
	if !f.has(name) {
		return nil
	}
	number, _ := f.m[name].(json.Number)
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || n > limit || n < -limit {
		f.wrong(name, "an integer")
		return nil
	}
	return &n
}

// objects returns the elements of a list of objects.
func (f *fields) objects(name string) []*fields {
	if !f.has(name) {
		return nil
	}
	list, ok := f.m[name].([]any)
	if !ok || len(list) > maxLines {
		f.wrong(name, fmt.Sprintf("a list of at most %d objects", maxLines))
		return nil
	}
	out := make([]*fields, len(list))
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			f.wrong(fmt.Sprintf("%s[%d]", name, i), "an object")
			return nil
		}
		out[i] = &fields{m: m, at: fmt.Sprintf("%s%s[%d].", f.at, name, i)}
	}
	return out
}

func (f *fields) lineItems(name string) []LineItem {
	var items []LineItem
	for _, o := range f.objects(name) {
		item := LineItem{
			Name:        o.text("name", maxText),
			Description: o.text("description", maxText),
			SKU:         o.text("sku", maxText),
			URL:         o.text("url", maxURL),
			ImageURL:    o.text("image_url", maxURL),
			ProductURL:  o.text("product_url", maxURL),
			Quantity:    o.integer("quantity", maxCount),
			UnitAmount:  o.integer("unit_amount", maxCents),
			Totals:      o.totals("totals"),
		}
		if item.Name == "" {
			o.wrong("name", "given")
		}
		if item.Quantity != nil && *item.Quantity <= 0 {
			o.wrong("quantity", "a positive integer")
		}
		f.err = orElse(f.err, o.err)
		items = append(items, item)
	}
	return items
}

func (f *fields) totals(name string) []Total {
	var totals []Total
	for _, o := range f.objects(name) {
		t := Total{Type: o.text("type", maxText), DisplayText: o.text("display_text", maxText)}
		if !slices.Contains(totalTypes, t.Type) {
			o.wrong("type", "one of "+strings.Join(totalTypes, ", "))
		}
		if n := o.integer("amount", maxCents); n != nil {
			t.Amount = *n
		} else {
			o.wrong("amount", "an integer")
		}
		f.err = orElse(f.err, o.err)
		totals = append(totals, t)
	}
	return totals
}

func (f *fields) metadata(name string) map[string]string {
	if !f.has(name) {
		return nil
	}
	m, ok := f.m[name].(map[string]any)
	if !ok || len(m) > 50 {
		f.wrong(name, "an object of at most 50 strings")
		return nil
	}
	o := &fields{m: m, at: f.at + name + "."}
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if utf8.RuneCountInString(k) > 40 {
			f.wrong(name, "an object whose keys have at most 40 characters")
			return nil
		}
		if !o.has(k) {
			o.wrong(k, "a string")
		}
		out[k] = o.text(k, 500)
	}
	f.err = orElse(f.err, o.err)
	return out
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, b := range []byte(s) {
		if b < 'a' || b > 'z' {
			return false
		}
	}
	return true
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

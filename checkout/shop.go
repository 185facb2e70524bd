package checkout

import (
	"time"

	"paywall/payment"
)

// A Shop is what a seller sells and on which terms, at one moment. It is never
// changed once made: a new version of the catalog is another Shop. Make it with [NewShop].
// All amounts are in minor units of Currency.
type Shop struct {
	// Version changes with the content; it is part of entity tags and quotes.
	Version string
	// Currency is an ISO 4217 code; Scale its number of decimals.
	Currency string
	Scale    int

	Products  []Product
	Discounts []Discount
	// Taxes are added to prices; the most specific rule that fits decides.
	Taxes []TaxRule
	// Shipping lists the ways to send goods, Locations where they can be fetched.
	Shipping  []ShippingRate
	Locations []Location
	// Links are shown with every checkout: terms_of_service, privacy_policy, refund_policy…
	Links []Link

	variants map[string]place
	products map[string]int
	index    []entry
}

type place struct{ product, variant int }

// Product groups variants under one title.
type Product struct {
	ID, Title, Description string
	Categories             []string
	// URL and Image are absolute https URLs, or empty.
	URL, Image string
	// Variants has at least one.
	Variants []Variant
}

// Variant is what can be bought.
type Variant struct {
	ID, Title, Description, SKU, Image string
	Options                            []Option
	// Price is of one, without tax, and may be zero.
	Price int64
	// Stock is how many are put up for sale in all, sold ones included; nil is no bound.
	Stock *int64
	// Limit bounds how many one checkout may have; zero is no bound.
	Limit int64
	// Digital goods need no delivery.
	Digital bool
	// TaxClass selects tax rules; empty is the standard class.
	TaxClass string
	// Grants are the priced routes that an order of the variant opens.
	Grants []Grant
}

// Option is a property that tells variants apart, such as Size: M.
type Option struct{ Name, Value string }

// Grant says what a bought variant opens: a route of the priced API, as a receipt
// of its own pass does. Quantity multiplies Uses.
type Grant struct {
	Route string
	Pass  payment.Pass
}

// Discount lowers prices by code, or by itself when Code is empty.
type Discount struct {
	// Code is compared without regard to case.
	Code, Title string
	// BasisPoints is a share of the price, 10,000 being all of it; or Amount is
	// what is taken off. Exactly one of them is positive.
	BasisPoints, Amount int64
	// Each takes Amount off every unit of the lines it is for; otherwise it is spread
	// across them once, in proportion.
	Each bool
	// Variants and Categories name what it is for; both empty is everything.
	Variants, Categories []string
	// Minimum is the subtotal from which it applies.
	Minimum int64
	// Alone keeps it from being combined with another.
	Alone bool
	// Starts and Ends bound its time; zero does not.
	Starts, Ends time.Time
}

// TaxRule is one rate. Empty fields match everything; of the rules that match, that
// with a Region wins over one with only a Country, and either over one with neither,
// and then one with a Class.
type TaxRule struct {
	Country, Region, Class string
	// Rate is in millionths: 8.875 % is 88,750.
	Rate int64
	// Shipping says that the cost of delivery is taxed at this rate too.
	Shipping bool
}

// ShippingRate is one way to send goods.
type ShippingRate struct {
	ID, Title, Carrier string
	// Countries and Regions (as US-CA) it is for; empty is everywhere.
	Countries, Regions []string
	// Price is of a parcel, PerItem is added for every unit. FreeFrom is the
	// subtotal after discounts from which it costs nothing; zero is never.
	Price, PerItem, FreeFrom int64
	// MinDays and MaxDays say when it arrives; both zero is unsaid.
	MinDays, MaxDays int
}

// Location is a place to fetch goods from.
type Location struct {
	ID, Name string
	Address  Address
}

// Link is a page about the seller's terms.
type Link struct{ Type, URL, Title string }

// Address is a place, in the words of UCP. Country is ISO 3166-1 alpha-2.
type Address struct {
	FirstName, LastName, Phone        string
	Street, Extended                  string
	Locality, Region, Postal, Country string
}

package protocol

// Version is a release of UCP.
type Version string

// Releases that are served. Current is at /.well-known/ucp, the others through its
// supported_versions.
const (
	August2026 Version = "2026-08-25"
	April2026  Version = "2026-04-08"
	Current            = August2026
)

// Versions lists what is served, the current one first.
func Versions() []Version { return []Version{August2026, April2026} }

// Names of capabilities and extensions.
const (
	Service       = "dev.ucp.shopping"
	Checkout      = "dev.ucp.shopping.checkout"
	Cart          = "dev.ucp.shopping.cart"
	Order         = "dev.ucp.shopping.order"
	CatalogSearch = "dev.ucp.shopping.catalog.search"
	CatalogLookup = "dev.ucp.shopping.catalog.lookup"
	Discount      = "dev.ucp.shopping.discount"
	Fulfillment   = "dev.ucp.shopping.fulfillment"
	BuyerConsent  = "dev.ucp.shopping.buyer_consent"
	Permalink     = "dev.ucp.shopping.permalink"
)

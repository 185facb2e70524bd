package protocol

// Version is a release of UCP.
type Version string

// Releases that are served. Current is at /.well-known/ucp, the others through its
// supported_versions.
const (
	V2026_08_25 Version = "2026-08-25"
	V2026_04_08 Version = "2026-04-08"
	Current             = V2026_08_25
)

// Versions lists what is served, the current one first.
func Versions() []Version { return []Version{V2026_08_25, V2026_04_08} }

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

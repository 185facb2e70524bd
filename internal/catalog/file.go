package catalog

// file is a catalog as it is written. Numbers are text here: a price is never a
// binary fraction.
type file struct {
	Currency  string         `yaml:"currency"`
	Products  []productFile  `yaml:"products"`
	Discounts []discountFile `yaml:"discounts"`
	Taxes     []taxFile      `yaml:"taxes"`
	Shipping  []shippingFile `yaml:"shipping"`
	Pickup    []pickupFile   `yaml:"pickup"`
	Links     []linkFile     `yaml:"links"`
}

type productFile struct {
	ID          string        `yaml:"id"`
	Title       string        `yaml:"title"`
	Description string        `yaml:"description" lines:"true"`
	Categories  []string      `yaml:"categories,one"`
	URL         string        `yaml:"url"`
	Image       string        `yaml:"image"`
	Variants    []variantFile `yaml:"variants"`

	// A product without variants is its own single one.
	Price    string            `yaml:"price"`
	Stock    string            `yaml:"stock"`
	Limit    string            `yaml:"limit"`
	Digital  bool              `yaml:"digital"`
	SKU      string            `yaml:"sku"`
	TaxClass string            `yaml:"tax_class"`
	Options  map[string]string `yaml:"options"`
	Opens    []opensFile       `yaml:"opens,one"`
}

// own is the product as its own variant.
func (p productFile) own() variantFile {
	return variantFile{
		ID: p.ID, Title: p.Title, Description: p.Description, Image: p.Image, Price: p.Price, Stock: p.Stock, Limit: p.Limit,
		Digital: p.Digital, SKU: p.SKU, TaxClass: p.TaxClass, Options: p.Options, Opens: p.Opens,
	}
}

type variantFile struct {
	ID          string            `yaml:"id"`
	Title       string            `yaml:"title"`
	Description string            `yaml:"description" lines:"true"`
	Image       string            `yaml:"image"`
	Price       string            `yaml:"price"`
	Stock       string            `yaml:"stock"`
	Limit       string            `yaml:"limit"`
	Digital     bool              `yaml:"digital"`
	SKU         string            `yaml:"sku"`
	TaxClass    string            `yaml:"tax_class"`
	Options     map[string]string `yaml:"options"`
	Opens       []opensFile       `yaml:"opens,one"`
}

type opensFile struct {
	Credit bool   `yaml:"credit" default:"false"`
	Route  string `yaml:"route"`
	Uses   string `yaml:"uses"`
	For    string `yaml:"for"`
}

type discountFile struct {
	Code       string   `yaml:"code"`
	Title      string   `yaml:"title"`
	Percent    string   `yaml:"percent"`
	Amount     string   `yaml:"amount"`
	Each       bool     `yaml:"each"`
	Variants   []string `yaml:"variants,one"`
	Categories []string `yaml:"categories,one"`
	Minimum    string   `yaml:"minimum"`
	Alone      bool     `yaml:"alone"`
	Starts     string   `yaml:"starts"`
	Ends       string   `yaml:"ends"`
}

type taxFile struct {
	Country  string `yaml:"country"`
	Region   string `yaml:"region"`
	Class    string `yaml:"class"`
	Percent  string `yaml:"percent"`
	Shipping bool   `yaml:"shipping"`
}

type shippingFile struct {
	ID        string   `yaml:"id"`
	Title     string   `yaml:"title"`
	Carrier   string   `yaml:"carrier"`
	Countries []string `yaml:"countries,one"`
	Regions   []string `yaml:"regions,one"`
	Price     string   `yaml:"price"`
	PerItem   string   `yaml:"per_item"`
	FreeFrom  string   `yaml:"free_from"`
	Days      string   `yaml:"days"`
}

type pickupFile struct {
	ID       string `yaml:"id"`
	Name     string `yaml:"name"`
	Street   string `yaml:"street"`
	Locality string `yaml:"locality"`
	Region   string `yaml:"region"`
	Postal   string `yaml:"postal"`
	Country  string `yaml:"country"`
}

type linkFile struct {
	Type  string `yaml:"type"`
	URL   string `yaml:"url"`
	Title string `yaml:"title"`
}

package config

// routeFile is one entry of routes as it is read.
type routeFile struct {
	Match       string      `yaml:"match" type:"METHOD /path" doc:"Which requests: a method (GET covers HEAD; none is every method) and a path, decoded, where {name} or * stand for one segment, * within a segment for any characters, and a last {name...} or ** for the rest. Required."`
	ID          string      `yaml:"id" else:"made from match" doc:"Name in payments, logs and metrics: 1 to 64 of a-z 0-9 . _ -. Payments keep it, so it should not change."`
	Upstream    string      `yaml:"upstream" type:"name" doc:"Which of upstreams answers. Required."`
	Free        bool        `yaml:"free" default:"false" doc:"Pass the request on without a payment. A route without a price must say so."`
	Price       amount      `yaml:"price" doc:"What a request costs, as 1.00 USD."`
	When        []whenFile  `yaml:"when" type:"list" doc:"Other prices for some requests; the first entry that holds decides, and price if none does."`
	Tiers       *tiersFile  `yaml:"tiers"`
	Remote      *remoteFile `yaml:"remote"`
	Description string      `yaml:"description" doc:"What is sold, shown to the payer: printable ASCII, at most 200 characters."`
	Methods     []string    `yaml:"methods" type:"list of names" else:"all" doc:"Which of methods are offered, in this order."`
	Window      duration    `yaml:"window" min:"1s" max:"720h" caution:"24h" else:"window" doc:"How long the payer may come back for what was not delivered."`
	Redeliver   *bool       `yaml:"redeliver" else:"true for GET, HEAD, PUT and DELETE" doc:"Whether the request may be sent to the upstream again when it is unclear what became of it."`
	Accept      []count     `yaml:"accept" type:"list of numbers" doc:"Statuses besides 2xx that count as delivered."`
	Pass        *passFile   `yaml:"pass"`
	Credit      *creditFile `yaml:"credit"`
	Terms       termsFile   `yaml:"terms"`
	Settle      string      `yaml:"settle" enum:"auto|before|hold|metered" default:"auto" doc:"When money is taken: before the request is passed on; hold: when there is an answer to give for it, by methods that can promise the money first, and before by others; metered: when there is an answer, what was used of price, which is a ceiling, by methods that can do so alone. auto is hold for GET and HEAD, before for the rest."`
	Meter       *meterFile  `yaml:"meter"`
	BodyLimit   size        `yaml:"body_limit" caution:"1MiB" else:"limits.body" doc:"Largest request body."`
}

type whenFile struct {
	Query  map[string]string `yaml:"query" type:"mapping of text" doc:"Parameters and their exact values; all must hold."`
	Header map[string]string `yaml:"header" type:"mapping of text" doc:"Header fields and their exact values; all must hold."`
	Price  amount            `yaml:"price" doc:"What such a request costs. Required."`
}

type tiersFile struct {
	Query   string     `yaml:"query" doc:"Parameter that holds the quantity. One of query, header and json is given."`
	Header  string     `yaml:"header" doc:"Header field that holds the quantity."`
	JSON    string     `yaml:"json" doc:"Member of the JSON body that holds the quantity, by its path: input.pages."`
	Steps   []stepFile `yaml:"steps" type:"list" doc:"Prices by quantity, ascending. A quantity above the last is refused. Either steps or unit is given."`
	Unit    amount     `yaml:"unit" doc:"Price of one; a request costs the quantity times it."`
	Max     count      `yaml:"max" else:"the last step" doc:"Largest quantity. Required with unit."`
	Default count      `yaml:"default" default:"1" doc:"Quantity of a request that names none."`
}

type stepFile struct {
	UpTo  count  `yaml:"upto" doc:"Largest quantity of the step. Required, but for the last step when max is given."`
	Price amount `yaml:"price" doc:"What a request up to it costs. Required."`
}

type remoteFile struct {
	URL      string               `yaml:"url" type:"URL" doc:"Hook that is asked for the price: https, or http on loopback. Required."`
	Timeout  duration             `yaml:"timeout" default:"2s" min:"10ms" max:"30s" caution:"5s" doc:"How long it may take."`
	Cache    duration             `yaml:"cache" default:"10s" min:"0s" max:"1h" doc:"How long an answer is good for, shorter than challenge.ttl; 0s asks each time."`
	Headers  map[string]reference `yaml:"headers" type:"mapping of references" doc:"Fields sent along, such as the hook's own key."`
	Forward  []string             `yaml:"forward" type:"list of names" doc:"Header fields of the request that the hook is told."`
	Fallback string               `yaml:"fallback" type:"price or refuse" default:"refuse" doc:"What a request costs when the hook fails, or refuse to sell nothing then."`
}

type passFile struct {
	Uses count    `yaml:"uses" max:"1000000" doc:"How many further requests the receipt opens; with for alone, any number."`
	For  duration `yaml:"for" min:"1s" max:"8784h" else:"receipts.ttl" doc:"How long it opens them, from the payment on."`
}

type creditFile struct {
	Pack amount   `yaml:"pack" doc:"What a pack of credit costs, as 5.00 USD. It is what is paid for; requests draw their price from it, which may be as little as a thousandth of a cent. Required."`
	For  duration `yaml:"for" min:"1m" max:"8784h" default:"8760h" doc:"How long the credit can be used, from its payment on."`
}

type termsFile struct {
	Account         string            `yaml:"account" doc:"Connected account that is charged on: acct_…."`
	Fee             amount            `yaml:"fee" doc:"Application fee, at most the least price of the route and in its currency. It needs account or destination."`
	OnBehalfOf      string            `yaml:"on_behalf_of" doc:"Account of record of a destination charge."`
	Destination     string            `yaml:"destination" doc:"Account that receives the money of a destination charge."`
	TransferGroup   string            `yaml:"transfer_group" doc:"Ties later transfers to the charge."`
	StatementSuffix string            `yaml:"statement_suffix" doc:"What follows the account's prefix on a card statement."`
	Metadata        map[string]string `yaml:"metadata" type:"mapping of text" doc:"Stored with the charge, at most 20 pairs."`
}

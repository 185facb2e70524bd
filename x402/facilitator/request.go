package facilitator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/x402"
)

// order is a request to /verify or /settle that was found in order.
type order struct {
	credential payment.Credential
	method     payment.Method
	network    string
}

// refusal is a no with a code of x402, of a request that could be read.
type refusal struct{ code string }

func (r *refusal) Error() string { return r.code }

// errMalformed is a request that cannot be read.
var errMalformed = errors.New("malformed")

// binding is a kind of payment as it is settled here.
type binding struct {
	method payment.Method
	// need is what requirements are compared with, but for amount and asset.
	need x402.PaymentRequirements
}

// parse reads a body and holds it against what is configured. Errors are
// [errMalformed] and *[refusal]. There is no I/O.
func (s *Server) parse(c *client, body []byte, now time.Time) (order, error) {
	var r x402.VerifyRequest
	if !read(body, &r) {
		return order{}, errMalformed
	}
	// A payload of another version has another form, and is not held against this one.
	if r.Version != x402.V2 || version(r.Payload) != x402.V2 {
		return order{}, &refusal{x402.CodeInvalidVersion}
	}
	var p x402.PaymentPayload
	var need x402.PaymentRequirements
	if !read(r.Payload, &p) || !read(r.Requirements, &need) {
		return order{}, errMalformed
	}
	b, err := s.binding(need)
	if err != nil {
		return order{}, err
	}
	if !b.fits(need, r.Requirements) || !x402.Match(need, accepted(r.Payload)) {
		return order{}, &refusal{x402.CodeInvalidRequirements}
	}
	offer, err := b.offer(c, need)
	if err != nil {
		return order{}, &refusal{x402.CodeInvalidRequirements}
	}
	cred, err := s.credential(offer, scope(s.cfg.Realm, c, p, need), p.Payload, now)
	if err != nil {
		return order{}, err
	}
	return order{credential: cred, method: b.method, network: need.Network}, nil
}

// version is the one inside a payload, or zero.
func version(payload json.RawMessage) int {
	var byName map[string]json.RawMessage
	if json.Unmarshal(payload, &byName) != nil {
		return 0
	}
	n, err := strconv.Atoi(string(byName["x402Version"]))
	if err != nil {
		return 0
	}
	return n
}

// accepted is the payer's copy of the entry, as it was sent.
func accepted(payload json.RawMessage) json.RawMessage {
	var byName map[string]json.RawMessage
	if json.Unmarshal(payload, &byName) != nil {
		return nil
	}
	return byName["accepted"]
}

func (s *Server) binding(need x402.PaymentRequirements) (binding, error) {
	code := x402.CodeUnsupportedScheme
	for _, b := range s.bindings {
		if b.need.Scheme != need.Scheme {
			continue
		}
		if b.need.Network == need.Network {
			return b, nil
		}
		code = x402.CodeInvalidNetwork
	}
	return binding{}, &refusal{code}
}

// fits compares requirements with the binding. Those of others may give payers another
// time, and say more in extra; of the flows, those are taken that settle once.
func (b *binding) fits(need x402.PaymentRequirements, raw json.RawMessage) bool {
	want := b.need
	want.Amount, want.Asset, want.MaxTimeoutSeconds = need.Amount, need.Asset, need.MaxTimeoutSeconds
	if need.MaxTimeoutSeconds <= 0 || !x402.Match(want, raw) {
		return false
	}
	if _, given := need.Extra[x402.ExtraFlow]; !given {
		return true
	}
	flow := need.Text(x402.ExtraFlow) // empty where it is no text
	return flow == x402.FlowUpfront || flow == x402.FlowAuthorization
}

var errAmount = errors.New("amount is no positive number of smallest units")

// offer has the rail state the amount, which tells whether it takes it.
func (b *binding) offer(c *client, need x402.PaymentRequirements) (payment.Offer, error) {
	var none payment.Offer
	exponent, known := money.Exponent(need.Asset)
	units, err := strconv.ParseInt(need.Amount, 10, 64)
	if err != nil || !known || units <= 0 || strconv.FormatInt(units, 10) != need.Amount {
		return none, errAmount
	}
	amount, err := money.New(units, need.Asset, exponent)
	if err != nil || amount.Currency() != need.Asset { // x402 writes ISO codes in capitals
		return none, errAmount
	}
	offer, err := b.method.Offer(payment.Quote{Route: route, Amount: amount, Description: "Settled for " + c.Name, Terms: c.Terms})
	switch {
	case err != nil:
		return none, err //nolint:wrapcheck // the rail says why, and nobody is told
	case offer.Amount != amount || offer.Hold || offer.Metered:
		return none, errAmount
	}
	return offer, nil
}

// route and method are what payments of this server are stored under.
const (
	route       = "x402"
	scopeMethod = "SETTLE"
)

// scope binds a payment to who has it settled, and for what. The payload alone would
// not: a client that has seen one could spend it on something else.
func scope(realm string, c *client, p x402.PaymentPayload, need x402.PaymentRequirements) payment.Scope {
	url := ""
	if p.Resource != nil {
		url = p.Resource.URL
	}
	sum := sha256.Sum256([]byte(need.Asset + "\x00" + need.Amount + "\x00" + url)) // the first two hold no NUL
	return payment.Scope{Tenant: realm, Route: route, Method: scopeMethod, Target: c.Name + "/" + base64.RawURLEncoding.EncodeToString(sum[:])}
}

// origin is of a resource that only this package sees.
const origin = "https://x402.invalid"

// credential reads the payload by the protocol itself, so that one token is one
// instrument wherever it is presented. What it is read against is our own entry.
func (s *Server) credential(o payment.Offer, sc payment.Scope, payload json.RawMessage, now time.Time) (payment.Credential, error) {
	var none payment.Credential
	dialect, err := s.protocol.Compile(s.cfg.Realm, []payment.Offer{o})
	if err != nil {
		return none, &refusal{x402.CodeInvalidRequirements}
	}
	need, err := stated(dialect, sc, now)
	if err != nil {
		return none, &refusal{x402.CodeInvalidRequirements}
	}
	field, err := x402.Encode(x402.PaymentPayload{Version: x402.V2, Accepted: need, Payload: payload})
	if err != nil {
		return none, &refusal{x402.CodeInvalidPayload}
	}
	cred, err := dialect.Credential(&http.Request{Header: http.Header{headerPayment: {field}}}, sc, now)
	if err != nil {
		return none, &refusal{x402.CodeInvalidPayload}
	}
	return cred, nil
}

// headerPayment is [x402.HeaderSignature] as net/http keeps it.
var headerPayment = http.CanonicalHeaderKey(x402.HeaderSignature)

// stated is the entry of a dialect with one offer.
func stated(d payment.Dialect, sc payment.Scope, now time.Time) (x402.PaymentRequirements, error) {
	var p x402.PaymentRequired
	h := http.Header{}
	if err := d.Challenge(h, &http.Request{}, sc, now); err != nil {
		return x402.PaymentRequirements{}, err //nolint:wrapcheck // it says what failed
	}
	if err := x402.Decode(h.Get(x402.HeaderRequired), &p); err != nil {
		return x402.PaymentRequirements{}, err //nolint:wrapcheck // it says what failed
	}
	if len(p.Accepts) != 1 {
		return x402.PaymentRequirements{}, payment.ErrNotOffered
	}
	return p.Accepts[0], nil
}

// readable reports whether a body may be JSON by what is said about it.
func readable(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return (media == "" || media == "application/json") && h.Get("Content-Encoding") == ""
}

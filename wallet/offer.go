package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
)

// Limits of what is read from one 402.
const (
	maxChallengeFields = 256 << 10
	maxOffers          = 32
)

// The one way of paying that a wallet's shared token is for.
const (
	methodStripe = "stripe"
	intentCharge = "charge"
)

// Offer is one way to pay that a seller listed. Texts are made safe to print.
type Offer struct {
	// Protocol is "mpp" or "x402". Network is where the money moves, as x402 names it.
	Protocol, Network     string
	Method, Intent, Realm string
	// Amount is invalid when it cannot be read.
	Amount money.Amount
	// NetworkID is the seller at the payment network: a profile, or an address.
	NetworkID   string
	Description string
	// Why says what keeps this wallet from paying it; empty when nothing does.
	Why string
}

// same reports whether two offers are one price of one seller.
func (o *Offer) same(b *Offer) bool {
	return o.Protocol == b.Protocol && o.Network == b.Network && o.Method == b.Method && o.Intent == b.Intent &&
		strings.EqualFold(o.Realm, b.Realm) && o.Amount == b.Amount && o.NetworkID == b.NetworkID
}

// candidate is an offer with what answers it: a challenge, or an entry of x402.
type candidate struct {
	Offer
	challenge mpp.Challenge
	entry     *entry
}

// live is what a challenge has to fit.
type live struct {
	url *url.URL
	// digest is that of the body, or empty.
	digest string
	// busy is set when the Authorization field is taken by the request itself.
	busy bool
	// realm is the one to expect; empty is the host's own names.
	realm string
}

// readOffers reads a 402 in both protocols, each in the seller's order, the one
// that is preferred first. An offer that cannot be paid is returned with the reason.
func (t *Transport) readOffers(h http.Header, l live) ([]candidate, error) {
	challenges, err := readChallenges(h, l)
	if err != nil && len(h.Values(x402.HeaderRequired)) == 0 {
		return nil, err
	}
	entries, err := readEntries(h, l, t.cfg.LinkTokens)
	if err != nil && len(challenges) == 0 {
		return nil, err
	}
	if t.cfg.Prefer == "x402" {
		return append(entries, challenges...), nil
	}
	return append(challenges, entries...), nil
}

// readChallenges reads the challenges of the Payment scheme.
func readChallenges(h http.Header, l live) ([]candidate, error) {
	size := 0
	for _, v := range h.Values("WWW-Authenticate") {
		size += len(v)
	}
	if size > maxChallengeFields {
		return nil, fmt.Errorf("challenges of %d bytes", size)
	}
	challenges, err := mpp.ParseChallenges(h)
	if err != nil {
		return nil, fmt.Errorf("challenges: %w", err)
	}
	if len(challenges) > maxOffers {
		challenges = challenges[:maxOffers]
	}
	out := make([]candidate, 0, len(challenges))
	for i := range challenges {
		out = append(out, readOffer(&challenges[i], l))
	}
	return out, nil
}

func readOffer(c *mpp.Challenge, l live) candidate {
	out := candidate{challenge: *c, Offer: Offer{
		Protocol: "mpp", Method: Clean(c.Method, 64), Intent: Clean(c.Intent, 64), Realm: Clean(c.Realm, 256), Description: Clean(c.Description, 200),
	}}
	request, err := c.RequestObject()
	if err != nil {
		out.Why = "its request cannot be read"
		return out
	}
	if c.Method != methodStripe || c.Intent != intentCharge {
		out.Why = "another way of paying"
		return out
	}
	if err := out.read(request); err != nil {
		out.Why = err.Error()
		return out
	}
	switch {
	case !realmFits(c.Realm, l):
		out.Why = "its realm is not the host that was asked"
	case c.Digest != "" && !digestFits(c.Digest, l.digest):
		out.Why = "it is for another body"
	case c.Header != mpp.PaymentAuthorization && l.busy:
		out.Why = "the request needs its Authorization field itself"
	}
	return out
}

// read takes price and payee from the request of a stripe charge. An amount is
// a string of minor units and nothing else: "1.00", "1e2", 100 and "0100" could
// each be meant as something other than what would be paid.
func (o *Offer) read(request []byte) error {
	m, err := exactMembers(request, "amount", "currency", "methodDetails", "description")
	if err != nil {
		return err
	}
	var amount, currency string
	if json.Unmarshal(m["amount"], &amount) != nil || json.Unmarshal(m["currency"], &currency) != nil {
		return errors.New("amount or currency is not a string")
	}
	scale, known := money.Exponent(currency)
	if !known {
		return errors.New("its currency is not known")
	}
	if amount == "" || amount[0] == '0' || strings.Trim(amount, "0123456789") != "" {
		return errors.New("its amount is not a positive whole number of minor units")
	}
	units, err := strconv.ParseInt(amount, 10, 64)
	if err != nil {
		return errors.New("its amount is out of range")
	}
	if o.Amount, err = money.New(units, currency, scale); err != nil {
		return errors.New("its amount is out of range")
	}
	details, err := exactMembers(m["methodDetails"], "networkId")
	if err != nil {
		return errors.New("it names no seller")
	}
	var network string
	if json.Unmarshal(details["networkId"], &network) != nil || !isName(network) {
		return errors.New("it names no seller")
	}
	o.NetworkID = network
	var text string
	if o.Description == "" && json.Unmarshal(m["description"], &text) == nil {
		o.Description = Clean(text, 200)
	}
	return nil
}

// exactMembers splits an object. A name that differs from a known one only in
// case is refused: the seller's reader may take it for the real one.
func exactMembers(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil || m == nil {
		return nil, errors.New("its request is no object")
	}
	for name := range m {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return nil, fmt.Errorf("its request has a case variant of %s", k)
			}
		}
	}
	return m, nil
}

// isName reports whether s is an id that needs no quoting anywhere.
func isName(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// realmFits compares the realm with the names that the URL's host goes by: bare,
// with its port, and as an origin.
func realmFits(realm string, l live) bool {
	if l.realm != "" {
		return realm == l.realm
	}
	name := normalHost(l.url.Hostname())
	names := []string{name, strings.ToLower(l.url.Host), l.url.Scheme + "://" + strings.ToLower(l.url.Host)}
	if strings.Contains(name, ":") {
		names = append(names, "["+name+"]")
	}
	if port, ok := map[string]string{"http": "80", "https": "443"}[l.url.Scheme]; ok && l.url.Port() == "" {
		names = append(names, net.JoinHostPort(name, port))
	}
	for _, n := range names {
		if strings.EqualFold(realm, n) {
			return true
		}
	}
	return false
}

// digestFits also takes the spelling without colons that some servers use.
func digestFits(offered, body string) bool {
	if body == "" {
		body = mpp.Digest(nil)
	}
	plain := func(s string) string {
		v, ok := strings.CutPrefix(s, "sha-256=")
		if !ok {
			return s
		}
		return strings.Trim(v, ":")
	}
	return plain(offered) == plain(body)
}

// secure reports whether a credential may travel to u: over TLS, or to this machine.
func secure(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	host := normalHost(u.Hostname())
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

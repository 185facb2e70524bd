package wallet

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
	"paywall/x402/evm"
)

// methodStablecoin is the way of paying that a [KeyWallet] is for.
const methodStablecoin = "stablecoin"

// LinkTokens is how a shared payment token travels over x402. No scheme for it is
// published, so that the names are those of whoever sells; the zero value is what
// this product uses by default.
type LinkTokens struct {
	// Scheme and Networks are what an entry must say; empty are auth-capture, and
	// stripe:test and stripe:live.
	Scheme   string
	Networks []string
	// TokenMember and IDMember are the payload's; empty are token and paymentId.
	TokenMember, IDMember string
}

func (l *LinkTokens) defaults() {
	if l.Scheme == "" {
		l.Scheme = x402.SchemeAuthCapture
	}
	if len(l.Networks) == 0 {
		l.Networks = []string{"stripe:test", "stripe:live"}
	}
	if l.TokenMember == "" {
		l.TokenMember = "token"
	}
	if l.IDMember == "" {
		l.IDMember = "paymentId"
	}
}

// entry is one of the ways to pay in a PAYMENT-REQUIRED, with all that has to be
// sent back.
type entry struct {
	required x402.PaymentRequired
	accepted x402.PaymentRequirements
	transfer *Transfer // of a stablecoin
}

// readEntries reads a PAYMENT-REQUIRED in the seller's order. Without one there are
// none. An entry that cannot be paid is returned with the reason.
func readEntries(h http.Header, l live, links LinkTokens) ([]candidate, error) {
	fields := h.Values(x402.HeaderRequired)
	switch {
	case len(fields) == 0:
		return nil, nil
	case len(fields) > 1 || len(fields[0]) > maxChallengeFields:
		return nil, errors.New("more than one PAYMENT-REQUIRED, or one that is too long")
	}
	var required x402.PaymentRequired
	if err := x402.Decode(fields[0], &required); err != nil {
		return nil, fmt.Errorf("PAYMENT-REQUIRED: %w", err)
	}
	if required.Version != x402.V2 {
		return nil, errors.New("PAYMENT-REQUIRED is of another version")
	}
	foreign := resourceFits(required.Resource.URL, l)
	var out []candidate
	for i := range required.Accepts[:min(len(required.Accepts), maxOffers)] {
		c := readEntry(&required, i, links)
		if c.Why == "" {
			c.Why = foreign
		}
		out = append(out, c)
	}
	return out, nil
}

func readEntry(required *x402.PaymentRequired, i int, links LinkTokens) candidate {
	r := &required.Accepts[i]
	e := &entry{required: *required, accepted: *r}
	out := candidate{entry: e, Offer: Offer{
		Protocol: "x402", Method: Clean(r.Scheme, 64), Intent: intentCharge, Network: Clean(r.Network, 64),
		NetworkID: Clean(r.PayTo, 128), Description: Clean(required.Resource.Description, 200),
	}}
	var err error
	switch {
	case r.Scheme == links.Scheme && slices.Contains(links.Networks, r.Network):
		out.Method = methodStripe
		err = out.readLink(r)
	case r.Scheme == x402.SchemeExact && strings.HasPrefix(r.Network, "eip155:"):
		out.Method = methodStablecoin
		err = out.readExact(r)
	default:
		err = errors.New("another way of paying")
	}
	if err != nil {
		out.Why = err.Error()
	}
	return out
}

// readLink takes price and payee of a shared payment token.
func (c *candidate) readLink(r *x402.PaymentRequirements) error {
	scale, known := money.Exponent(r.Asset)
	if !known {
		return errors.New("its currency is not known")
	}
	if !isName(r.PayTo) {
		return errors.New("it names no seller")
	}
	return c.readUnits(r.Amount, r.Asset, scale)
}

// readExact takes price and payee of a transfer. Only tokens that are known here
// are paid, each for the one currency it stands for: of any other, the seller alone
// would say what it is worth.
func (c *candidate) readExact(r *x402.PaymentRequirements) error {
	contract, err := evm.ParseAddress(r.Asset)
	if err != nil {
		return errors.New("its token is no address")
	}
	known := evm.Assets()
	i := slices.IndexFunc(known, func(a evm.Asset) bool { return a.Network == r.Network && a.Contract == contract })
	if i < 0 {
		return errors.New("its token is not known here")
	}
	asset := known[i]
	name, version, kind := r.Text("name"), r.Text("version"), r.Text(x402.ExtraTransferMethod)
	switch {
	case kind != "" && kind != x402.TransferEIP3009:
		return errors.New("it wants a transfer of another kind")
	case name != "" && name != asset.Name || version != "" && version != asset.Version:
		return errors.New("it gives the token another name, under which no payment would be good")
	}
	to, err := evm.ParseAddress(r.PayTo)
	if err != nil || to.IsZero() || to == contract {
		return errors.New("it names no seller")
	}
	c.NetworkID = to.Checksum()
	c.entry.transfer = &Transfer{Asset: asset, PayTo: to, ValidFor: time.Duration(r.MaxTimeoutSeconds) * time.Second}
	return c.readUnits(r.Amount, "USD", asset.Decimals)
}

func (o *Offer) readUnits(amount, currency string, scale int) error {
	if amount == "" || amount[0] == '0' || strings.Trim(amount, "0123456789") != "" {
		return errors.New("its amount is not a positive whole number")
	}
	units, err := strconv.ParseInt(amount, 10, 64)
	if err != nil {
		return errors.New("its amount is out of range")
	}
	if o.Amount, err = money.New(units, currency, scale); err != nil {
		return errors.New("its amount is out of range")
	}
	return nil
}

// resourceFits says why an offer is not for the request, or nothing.
func resourceFits(resource string, l live) string {
	u, err := url.Parse(resource)
	if err != nil || u.Host == "" {
		return "it does not say what it is for"
	}
	if !realmFits(u.Host, l) && !realmFits(u.Hostname(), l) {
		return "it is for another host than was asked"
	}
	if u.EscapedPath() != l.url.EscapedPath() && (u.Path != "/" || l.url.Path != "") {
		return "it is for another resource"
	}
	return ""
}

// answer makes the PAYMENT-SIGNATURE for an entry, and a name for it that says
// nothing about it.
func (e *entry) answer(proof Proof, spend string, links LinkTokens) (field, id string, err error) {
	payload := proof.Payload
	if e.transfer == nil {
		var token struct {
			SPT string `json:"spt"`
		}
		if json.Unmarshal(payload, &token) != nil || token.SPT == "" {
			return "", "", errors.New("the wallet's proof has no token")
		}
		if payload, err = json.Marshal(map[string]string{links.TokenMember: token.SPT, links.IDMember: "spend-" + spend}); err != nil {
			return "", "", errors.New("the wallet's proof is no JSON object")
		}
	}
	resource := e.required.Resource
	out := x402.PaymentPayload{Version: x402.V2, Accepted: e.accepted, Payload: payload, Resource: &resource}
	if out.Extensions, err = e.extensions(spend); err != nil {
		return "", "", err
	}
	if field, err = x402.Encode(out); err != nil {
		return "", "", errors.New("the payment cannot be encoded") // the cause may quote it
	}
	sum := sha256.Sum256([]byte(field))
	return field, mpp.EncodeBase64(sum[:]), nil
}

const identifierExtension = "payment-identifier"

// extensions names the payment where the seller takes names, so that even a copy
// with another signature would be known as the same purchase.
func (e *entry) extensions(spend string) (map[string]json.RawMessage, error) {
	declared, ok := e.required.Extensions[identifierExtension]
	if !ok {
		return nil, nil //nolint:nilnil // nothing to echo
	}
	info := map[string]any{}
	var d struct{ Info map[string]any }
	if json.Unmarshal(declared, &d) == nil && d.Info != nil {
		info = d.Info
	}
	info["id"] = "spend-" + spend
	b, err := json.Marshal(map[string]any{"info": info})
	if err != nil {
		return nil, fmt.Errorf("extension: %w", err)
	}
	return map[string]json.RawMessage{identifierExtension: b}, nil
}

// chainTime is what a chain's clock may be behind.
const chainTime = 2 * time.Minute

// goodUntil is when the transfer that was presented can be carried out no more. It is
// false for whatever is no transfer.
func (p *Presentation) goodUntil() (time.Time, bool) {
	if p.Field != paymentSignature {
		return time.Time{}, false
	}
	var sent x402.PaymentPayload
	var payload struct{ Authorization struct{ ValidBefore string } }
	if x402.Decode(p.Credential.Reveal(), &sent) != nil || json.Unmarshal(sent.Payload, &payload) != nil {
		return time.Time{}, false
	}
	end, err := strconv.ParseInt(payload.Authorization.ValidBefore, 10, 64)
	return time.Unix(end, 0), err == nil
}

// settlement reads what an answer says of a payment over x402, or nil.
func settlement(h http.Header) *x402.SettleResponse {
	var s x402.SettleResponse
	if x402.Decode(h.Get(x402.HeaderResponse), &s) != nil {
		return nil
	}
	return &s
}

// Package stripe is the payment handler com.stripe.payments: a token of the buyer's
// Link wallet, or one that the agent made of a card, charged by the rail of that name.
package stripe

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/internal/strictjson"
	"paywall/payment"
	"paywall/ucp/protocol"
)

// Name is the handler's name.
const Name = "com.stripe.payments"

// Spec is where its specification can be read. There is no schema: the one that
// exists lies on a host whose name does not vouch for the handler's (overview,
// "authority binding").
const Spec = "https://docs.stripe.com/agentic-commerce/protocols/ucp/stripe-payments-handler"

// Types of instrument and credential.
const (
	Link       = "link"
	Card       = "card"
	credential = "stripe_payment_token"
)

// Config describes one instance. ID, Version and Offer are required, and Link or Card.
type Config struct {
	// ID tells instances apart; Version is of the handler's specification.
	ID, Version string
	// Link and Card are the instruments that are taken; Brands narrows cards.
	Link, Card bool
	Brands     []string
	// Members are the public config, such as environment, merchant_id and business_profile.
	Members map[string]string
	// Offer is that of the rail ([payment.Method]).
	Offer func(q payment.Quote) (payment.Offer, error)
}

// Handler implements [protocol.Handler].
type Handler struct {
	cfg     Config
	config  json.RawMessage
	entries map[protocol.Version][]protocol.InstrumentType
}

var _ protocol.Handler = (*Handler)(nil)

// New checks the configuration.
func New(cfg Config) (*Handler, error) {
	switch {
	case cfg.ID == "" || cfg.Version == "":
		return nil, errors.New("handler com.stripe.payments: Config.ID and Config.Version are required")
	case cfg.Offer == nil:
		return nil, errors.New("handler com.stripe.payments: Config.Offer is required")
	case !cfg.Link && !cfg.Card:
		return nil, errors.New("handler com.stripe.payments: Config takes neither link nor card")
	}
	h := &Handler{cfg: cfg, entries: map[protocol.Version][]protocol.InstrumentType{}}
	var err error
	if len(cfg.Members) > 0 {
		if h.config, err = json.Marshal(cfg.Members); err != nil {
			return nil, fmt.Errorf("handler com.stripe.payments: Config.Members: %w", err)
		}
	}
	for _, v := range protocol.Versions() {
		if cfg.Link {
			h.entries[v] = append(h.entries[v], protocol.InstrumentType{Type: Link})
		}
		if cfg.Card {
			card := protocol.InstrumentType{Type: Card}
			if card.Constraints, err = brands(v, cfg.Brands); err != nil {
				return nil, fmt.Errorf("handler com.stripe.payments: Config.Brands: %w", err)
			}
			h.entries[v] = append(h.entries[v], card)
		}
	}
	return h, nil
}

// brands are constraints in the grammar of a version.
func brands(v protocol.Version, names []string) (json.RawMessage, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var doc any = map[string]any{"properties": map[string]any{"brand": map[string]any{"enum": names}}}
	if v == protocol.April2026 {
		doc = map[string]any{"brands": names}
	}
	return json.Marshal(doc) //nolint:wrapcheck // named by the caller
}

// Name implements [protocol.Handler].
func (*Handler) Name() string { return Name }

// Declare implements [protocol.Handler]. A total that the rail cannot take, one
// below the card minimum for instance, is not declared.
func (h *Handler) Declare(v protocol.Version, due *checkout.Due, _ time.Time) (protocol.Declaration, bool) {
	if due != nil {
		if _, err := h.cfg.Offer(due.Quote); err != nil {
			return protocol.Declaration{}, false
		}
	}
	return protocol.Declaration{
		ID: h.cfg.ID, Version: h.cfg.Version, Spec: Spec, Instruments: slices.Clone(h.entries[v]), Config: h.config,
	}, true
}

// Credential implements [protocol.Handler].
func (h *Handler) Credential(in protocol.Instrument, due checkout.Due, now time.Time) (payment.Credential, error) {
	if in.Type == Link && !h.cfg.Link || in.Type == Card && !h.cfg.Card || in.Type != Link && in.Type != Card {
		return payment.Credential{}, refused("this type of instrument is not taken", nil)
	}
	c, ok := read(in.Credential)
	if !ok {
		return payment.Credential{}, refused("the credential cannot be read", nil)
	}
	member, prefix := "spt", "spt_"
	if in.Type == Card {
		member, prefix = "card_token", "tok_"
	}
	switch {
	case c.kind != credential:
		return payment.Credential{}, refused("the credential is not of type "+credential, nil)
	case !strings.HasPrefix(c.token, prefix) || len(c.token) > 255:
		return payment.Credential{}, refused("the credential holds no token for this instrument", nil)
	case !c.expires.IsZero() && !now.Before(c.expires):
		return payment.Credential{}, refused("the credential has expired", nil)
	}
	offer, err := h.cfg.Offer(due.Quote)
	if err != nil {
		return payment.Credential{}, refused("this total cannot be paid in this way", err)
	}
	payload, err := json.Marshal(map[string]string{member: c.token})
	if err != nil {
		return payment.Credential{}, refused("the credential cannot be read", nil)
	}
	sum := sha256.Sum256([]byte(due.Challenge + "\x00" + member + "\x00" + c.token))
	return payment.Credential{
		Protocol: "ucp", ChallengeID: due.Challenge, Offer: offer, Scope: due.Scope, Payload: payload,
		Hash: base64.RawURLEncoding.EncodeToString(sum[:]), Expires: due.Session.ExpiresAt,
	}, nil
}

// A written credential is {"type":…,"token":…,"expires_at":…}.
type written struct {
	kind, token string
	expires     time.Time // zero: it does not say
}

// read takes members by their exact names; others are somebody else's business. It
// gives no reason for a refusal, which might quote the token.
func read(data json.RawMessage) (c written, ok bool) {
	var members map[string]json.RawMessage
	if strictjson.Check(data, strictjson.Limits{}) != nil || json.Unmarshal(data, &members) != nil {
		return c, false
	}
	for name, into := range map[string]any{"type": &c.kind, "token": &c.token, "expires_at": &c.expires} {
		if value, given := members[name]; given && json.Unmarshal(value, into) != nil {
			return c, false
		}
	}
	return c, true
}

func refused(why string, cause error) error {
	e := checkout.Refuse(checkout.KindPayment, "payment_failed", "The payment was not taken: "+why+".", "$.payment.instruments[0]", checkout.Recoverable)
	e.Err = cause
	return e
}

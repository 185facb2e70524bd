// Package challenge is the payment handler for whatever can be paid by a 402 dialect:
// the answer of a checkout carries the dialect's own challenge for its total, and the
// instrument carries the dialect's own credential. So an agent that pays requests
// pays orders with the same client.
package challenge

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"paywall/checkout"
	"paywall/internal/strictjson"
	"paywall/payment"
	"paywall/ucp/protocol"
)

// Kind is the dialect.
type Kind string

// Kinds. Their names end the handlers' names and begin the instruments'.
const (
	X402 Kind = "x402"
	MPP  Kind = "mpp"
)

// Version is that of both handlers' specifications, which lie beside this file.
const Version = "2026-11-25"

// Config describes one handler. All but Spec and Schema are required.
type Config struct {
	// Name is the handler's name: a reversed host name and the kind behind it.
	Name string
	Kind Kind
	// ID tells instances apart.
	ID string
	// Spec and Schema are URLs of [Documents].
	Spec, Schema string
	Protocol     payment.Protocol
	// Realm is the host that challenges are for.
	Realm string
	// Offers are the ways to pay a quote, the preferred one first.
	Offers func(q payment.Quote) []payment.Offer
	// Ways are what the business profile names: networks of x402, methods of MPP.
	Ways []string
}

// Handler implements [protocol.Handler].
type Handler struct{ cfg Config }

var _ protocol.Handler = (*Handler)(nil)

// New checks the configuration.
func New(cfg Config) (*Handler, error) {
	switch {
	case cfg.Kind != X402 && cfg.Kind != MPP:
		return nil, fmt.Errorf("handler %s: Config.Kind is %q", cfg.Name, cfg.Kind)
	case cfg.Name == "" || cfg.ID == "" || cfg.Realm == "":
		return nil, errors.New("handler of a challenge: Config.Name, ID and Realm are required")
	case cfg.Protocol == nil || cfg.Offers == nil:
		return nil, fmt.Errorf("handler %s: Config.Protocol and Offers are required", cfg.Name)
	}
	return &Handler{cfg}, nil
}

// Name implements [protocol.Handler].
func (h *Handler) Name() string { return h.cfg.Name }

func (k Kind) instrument() string { return string(k) + "_payment" }

// Declare implements [protocol.Handler].
func (h *Handler) Declare(_ protocol.Version, due *checkout.Due, now time.Time) (protocol.Declaration, bool) {
	d := protocol.Declaration{
		ID: h.cfg.ID, Version: Version, Spec: h.cfg.Spec, Schema: h.cfg.Schema, Instruments: []protocol.InstrumentType{{Type: h.cfg.Kind.instrument()}},
	}
	config := map[string]any{}
	switch h.cfg.Kind {
	case X402:
		config["x402_version"], config["networks"] = 2, h.cfg.Ways
	case MPP:
		config["realm"], config["methods"] = h.cfg.Realm, h.cfg.Ways
	}
	if due != nil && !h.ask(config, *due, now) {
		return protocol.Declaration{}, false
	}
	var err error
	if d.Config, err = json.Marshal(config); err != nil {
		return protocol.Declaration{}, false
	}
	return d, true
}

// ask adds the challenges for what is due; false when there are none.
func (h *Handler) ask(config map[string]any, due checkout.Due, now time.Time) bool {
	d, err := h.dialect(due)
	if err != nil {
		return false
	}
	r, err := request(due)
	if err != nil {
		return false
	}
	said := http.Header{}
	if err := d.Challenge(said, r, due.Scope, now); err != nil {
		return false
	}
	if h.cfg.Kind == MPP {
		all := said["Www-Authenticate"]
		config["challenges"] = all
		return len(all) > 0
	}
	data, err := base64.StdEncoding.DecodeString(said.Get("Payment-Required"))
	if err != nil || !json.Valid(data) {
		return false
	}
	config["payment_required"] = json.RawMessage(data)
	return true
}

func (h *Handler) dialect(due checkout.Due) (payment.Dialect, error) {
	// An order is delivered by being stored, which is no reason to take money later.
	due.Quote.Hold, due.Quote.Metered = false, false
	return h.cfg.Protocol.Compile(h.cfg.Realm, h.cfg.Offers(due.Quote)) //nolint:wrapcheck // only asked whether
}

// request stands for the one that dialects read headers of.
func request(due checkout.Due) (*http.Request, error) {
	return http.NewRequest(due.Scope.Method, due.Scope.Target, http.NoBody) //nolint:noctx,wrapcheck // it is sent nowhere
}

// members of a credential that hold the proof, and the header that carries it in HTTP.
var carriers = map[Kind]struct{ kind, member, header, prefix string }{
	X402: {"x402_payment_payload", "payload", "Payment-Signature", ""},
	MPP:  {"mpp_credential", "credential", "Authorization", "Payment "},
}

// Credential implements [protocol.Handler].
func (h *Handler) Credential(in protocol.Instrument, due checkout.Due, now time.Time) (payment.Credential, error) {
	if in.Type != h.cfg.Kind.instrument() {
		return payment.Credential{}, refused("this type of instrument is not taken", nil)
	}
	by := carriers[h.cfg.Kind]
	w, ok := read(in.Credential, by.member)
	switch {
	case !ok:
		return payment.Credential{}, refused("the credential cannot be read; "+by.member+" is a text, as it would be sent in "+by.header, nil)
	case w.kind != by.kind || w.proof == "":
		return payment.Credential{}, refused("the credential is not of type "+by.kind, nil)
	case !w.expires.IsZero() && !now.Before(w.expires):
		return payment.Credential{}, refused("the credential has expired", nil)
	}
	d, err := h.dialect(due)
	if err != nil {
		return payment.Credential{}, refused("this total cannot be paid in this way", err)
	}
	r, err := request(due)
	if err != nil {
		return payment.Credential{}, refused("this total cannot be paid in this way", err)
	}
	if len(w.proof) < len(by.prefix) || w.proof[:len(by.prefix)] != by.prefix {
		w.proof = by.prefix + w.proof
	}
	r.Header[by.header] = []string{w.proof}
	c, err := d.Credential(r, due.Scope, now)
	if err != nil {
		why := "the credential is not valid for this checkout"
		if pe, ok := errors.AsType[*payment.Error](err); ok && pe.Detail != "" {
			why = pe.Detail
		}
		return payment.Credential{}, refused(why, err)
	}
	return c, nil
}

// A written credential is {"type":…,"payload"|"credential":…,"expires_at":…}.
type written struct {
	kind, proof string
	expires     time.Time // zero: it does not say
}

// maxProof bounds what one credential may be, written.
const maxProof = 16 << 10

// read takes members by their exact names; others are somebody else's business.
func read(data json.RawMessage, member string) (w written, ok bool) {
	var members map[string]json.RawMessage
	if strictjson.Check(data, strictjson.Limits{String: maxProof}) != nil || json.Unmarshal(data, &members) != nil {
		return w, false
	}
	for name, into := range map[string]any{"type": &w.kind, member: &w.proof, "expires_at": &w.expires} {
		if value, given := members[name]; given && json.Unmarshal(value, into) != nil {
			return w, false
		}
	}
	return w, !slices.ContainsFunc([]byte(w.proof), func(b byte) bool { return b < ' ' || b > '~' })
}

func refused(why string, cause error) error {
	e := checkout.Refuse(checkout.KindPayment, "payment_failed", "The payment was not taken: "+why, "$.payment.instruments[0]", checkout.Recoverable)
	e.Err = cause
	return e
}

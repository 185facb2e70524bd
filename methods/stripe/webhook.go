package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	signatureHeader = "Stripe-Signature"
	// maxSkew is how far a signature's time may lie in the past or the future.
	maxSkew         = 5 * time.Minute
	maxWebhook      = 1 << 20
	maxSignature    = 4 << 10
	maxSignatures   = 10 // a rotation has two
	digestHexLength = 2 * sha256.Size
)

// Errors of [Method.Webhook]; test with [errors.Is]. All but ErrEvent say that
// the sender did not prove to be the processor.
var (
	// ErrSignature: there is no signature header, or not exactly one that can be
	// read, or none of its signatures is by one of our secrets.
	ErrSignature = errors.New("webhook signature not accepted")
	// ErrStale: signed, but too long ago or in the future.
	ErrStale = errors.New("webhook signature is of another time")
	// ErrEvent: signed, but not an event that can be read.
	ErrEvent = errors.New("webhook event cannot be read")
	// ErrMode: signed, but of test mode for a live key or the reverse.
	ErrMode = errors.New("webhook event is of the other mode")
)

// Concern is what an event is about.
type Concern uint8

// Concerns. The zero value is an event to acknowledge and forget.
const (
	ConcernNone Concern = iota
	// ConcernCharge: hand the outcome of [Method.Reread] to Processor.Resolve.
	ConcernCharge
	// ConcernRefund: when Reread succeeds, its reference is for Processor.Returned.
	ConcernRefund
	// ConcernDispute: when Reread succeeds, its reason says which way to call
	// Processor.Dispute.
	ConcernDispute
)

// Event is a webhook's content: a hint to look, and no more. Nothing in it moves
// money before [Method.Reread] has asked the processor.
type Event struct {
	// ID is unique to the event; two ids may still tell of one change.
	ID, Type string
	Concern  Concern
	Created  time.Time
	// Account is the connected account it happened on; empty is the seller's own.
	Account string
	// Object is the id of what the event tells of: an intent, charge, refund or dispute.
	Object string
	// Reference is the charge it belongs to, as in [payment.Payment].Reference.
	Reference string
	// PaymentID is ours, from the object's metadata. Disputes have none, nor have
	// refunds that a person made: find those by Reference.
	PaymentID string
}

// Webhook checks that the processor signed exactly these bytes within the last
// five minutes (every v1 signature is tried against every secret), and reads the
// event. body is what arrived, before anything parsed or changed it. No I/O.
func (m *Method) Webhook(header http.Header, body []byte) (Event, error) {
	if err := m.verify(header, body); err != nil {
		return Event{}, err
	}
	return m.event(body)
}

func (m *Method) verify(header http.Header, body []byte) error {
	fields := header.Values(signatureHeader)
	if len(fields) != 1 {
		return fmt.Errorf("%d signature headers: %w", len(fields), ErrSignature)
	}
	if len(body) > maxWebhook {
		return fmt.Errorf("body is larger than %d bytes: %w", maxWebhook, ErrSignature)
	}
	at, signatures, err := parseSignature(fields[0])
	if err != nil {
		return err
	}
	good := 0
	for _, secret := range m.cfg.WebhookSecrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(strconv.AppendInt(nil, at, 10))
		mac.Write([]byte{'.'})
		mac.Write(body)
		want := mac.Sum(nil)
		for _, got := range signatures {
			if hmac.Equal(want, got) {
				good++
			}
		}
	}
	if good == 0 {
		return fmt.Errorf("none of %d signatures is by one of %d secrets: %w", len(signatures), len(m.cfg.WebhookSecrets), ErrSignature)
	}
	// Only after the signature, so that the clock tells nothing to strangers.
	if skew := m.cfg.Now().Sub(time.Unix(at, 0)); skew > maxSkew || skew < -maxSkew {
		return fmt.Errorf("it is off by %s: %w", skew.Round(time.Second), ErrStale)
	}
	return nil
}

// parseSignature reads "t=1700000000,v1=<hex>,v1=<hex>,v0=<hex>". Other schemes
// than v1 prove nothing and are skipped. One time, written in one way: it is
// part of what is signed.
func parseSignature(field string) (at int64, signatures [][]byte, err error) {
	if len(field) > maxSignature {
		return 0, nil, fmt.Errorf("header is larger than %d bytes: %w", maxSignature, ErrSignature)
	}
	timed := false
	for part := range strings.SplitSeq(field, ",") {
		scheme, value, ok := strings.Cut(part, "=")
		if !ok || strings.Contains(value, "=") {
			return 0, nil, fmt.Errorf("a part that is not name and value: %w", ErrSignature)
		}
		switch scheme {
		case "t":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || timed || n < 0 || strconv.FormatInt(n, 10) != value {
				return 0, nil, fmt.Errorf("its time: %w", ErrSignature)
			}
			at, timed = n, true
		case "v1":
			sum, err := hex.DecodeString(value)
			if err != nil || len(value) != digestHexLength {
				return 0, nil, fmt.Errorf("a signature that is none: %w", ErrSignature)
			}
			signatures = append(signatures, sum)
		}
	}
	if !timed || len(signatures) == 0 || len(signatures) > maxSignatures {
		return 0, nil, fmt.Errorf("time given %t, %d signatures: %w", timed, len(signatures), ErrSignature)
	}
	return at, signatures, nil
}

// concern names the events that are acted on. Everything else that an endpoint
// may be subscribed to, thin events included, is acknowledged and dropped.
func concern(eventType string) Concern {
	switch eventType {
	case "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled":
		return ConcernCharge
	case "charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed":
		return ConcernRefund
	case "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
		"charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated":
		return ConcernDispute
	}
	return ConcernNone
}

func (m *Method) event(body []byte) (Event, error) {
	var doc struct {
		ID       string          `json:"id"`
		Object   string          `json:"object"`
		Type     string          `json:"type"`
		Account  string          `json:"account"`
		Livemode *bool           `json:"livemode"`
		Created  json.RawMessage `json:"created"` // a number here, a date in thin events
		Data     struct {
			Object struct {
				ID            string            `json:"id"`
				Object        string            `json:"object"`
				Metadata      map[string]string `json:"metadata"`
				PaymentIntent reference         `json:"payment_intent"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return Event{}, fmt.Errorf("not the form of an event: %w", ErrEvent) // the cause may quote it
	}
	if !word(doc.ID, 255) || doc.Type == "" || len(doc.Type) > 100 || !printable(doc.Type) {
		return Event{}, fmt.Errorf("no id or no type: %w", ErrEvent)
	}
	e := Event{ID: doc.ID, Type: doc.Type, Concern: concern(doc.Type)}
	if e.Concern == ConcernNone {
		return e, nil
	}
	o := doc.Data.Object
	seconds, err := strconv.ParseInt(string(doc.Created), 10, 64)
	switch {
	case doc.Livemode != nil && *doc.Livemode != m.cfg.Live:
		return Event{}, fmt.Errorf("%s: %w", e.ID, ErrMode)
	case err != nil || seconds < 0 || doc.Livemode == nil || doc.Object != "event":
		return Event{}, fmt.Errorf("%s: not the form of an event: %w", e.ID, ErrEvent)
	case doc.Account != "" && !identifier(doc.Account, "acct_"):
		return Event{}, fmt.Errorf("%s: its account: %w", e.ID, ErrEvent)
	case !word(o.ID, 255):
		return Event{}, fmt.Errorf("%s: its object has no id: %w", e.ID, ErrEvent)
	}
	e.Created, e.Account, e.Object = time.Unix(seconds, 0).UTC(), doc.Account, o.ID
	reference := string(o.PaymentIntent)
	if o.Object == "payment_intent" {
		reference = o.ID
	}
	if id := o.Metadata[metaPayment]; word(id, 64) {
		e.PaymentID = id
	}
	switch {
	case reference == "":
		e.Concern = ConcernNone // a charge without an intent is not ours
	case !identifier(reference, "pi_"):
		return Event{}, fmt.Errorf("%s: the charge it belongs to: %w", e.ID, ErrEvent)
	case o.Metadata[metaVoid] == "true":
		e.Concern = ConcernNone // what a void leaves behind is no charge
	}
	e.Reference = reference
	return e, nil
}

package x402

import (
	"encoding/json"
	"fmt"
	"time"

	"paywall/payment"
)

// Extension adds a declaration to challenges and judges its echo. Implementations are
// safe for concurrent use.
type Extension interface {
	// ID is the name in `extensions`.
	ID() string
	// Declare renders the extension for the offers of one quote, of which entries are
	// what payers see, in the same order. The zero value is no declaration.
	Declare(offers []payment.Offer, entries []PaymentRequirements) (Declaration, error)
}

// Declaration is an [Extension] for the offers of one quote.
type Declaration struct {
	// Object is the declaration, {"info":{…},"schema":{…}}. What of it never changes
	// is rendered once.
	Object json.RawMessage
	// Dynamic names members of info that differ from challenge to challenge, so that
	// their echo is not compared.
	Dynamic []string
	// Fresh, if set, appends the whole declaration for one challenge in the place of
	// Object, whose info still says what echoes are compared with. Challenges then
	// cost more: nothing of them can be written out before.
	Fresh func(b []byte, s payment.Scope, resource string, now time.Time) ([]byte, error)
	// Room is how many bytes a Fresh one takes beyond its Object, at most.
	Room int
	// Spare says that a challenge which would be too large goes without it.
	Spare bool
	// Check, if set, judges what a payer added to the declaration, or with echo nil
	// that it sent none, as payers of version 1 always do, and may note it in the
	// credential. Errors are *[payment.Error].
	Check func(echo json.RawMessage, c *payment.Credential) error
}

// declared is a declaration with its info taken apart.
type declared struct {
	Declaration

	id   string
	info map[string]json.RawMessage
}

func declare(extensions []Extension, offers []payment.Offer, entries []PaymentRequirements) ([]declared, error) {
	var out []declared
	for _, e := range extensions {
		d, err := e.Declare(offers, entries)
		if err != nil {
			return nil, fmt.Errorf("x402: extension %s: %w", e.ID(), err)
		}
		if len(d.Object) == 0 {
			continue
		}
		one := declared{Declaration: d, id: e.ID()}
		if err := check(d.Object); err != nil {
			return nil, fmt.Errorf("x402: extension %s: %w", e.ID(), err)
		}
		if err := readObject(d.Object, member{"info", &one.info, false}); err != nil {
			return nil, fmt.Errorf("x402: extension %s: %w", e.ID(), err)
		}
		out = append(out, one)
	}
	return out, nil
}

// checkEcho compares what a payer echoes of an extension with what was declared: it
// may add to info, and neither change nor leave out.
func (d *declared) checkEcho(echo json.RawMessage, c *payment.Credential) error {
	if len(echo) > 0 {
		var info json.RawMessage
		if readObject(echo, member{"info", &info, false}) != nil || !contains(info, d.info, d.Dynamic) {
			return &payment.Error{
				Kind: payment.KindInvalidChallenge, Reason: CodeExtensionEcho, Err: errOffline,
				Detail: "The payment changes what an extension of the challenge said.",
			}
		}
	}
	if d.Check == nil {
		return nil
	}
	return d.Check(echo, c)
}

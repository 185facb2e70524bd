package gate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/payment"
)

var errKeyUsed = errors.New("idempotency key of another request")

// name is what a payer calls a payment: a second one under it, while the first lives,
// is not begun. Whoever lost an answer must present what it paid with, not pay again.
type name struct {
	principal, key, fingerprint string
	// own says that the name is the payer's alone, who is proved: another credential of
	// the same payer then gets the answer of the first.
	own bool
}

// earlier is the refusal of a payment in favour of the first under its name.
type earlier struct {
	refusal *payment.Error
	key     string // of the first one's answer
}

func (e *earlier) Error() string { return e.refusal.Error() }

// Unwrap returns the refusal.
func (e *earlier) Unwrap() error { return e.refusal }

// names are those of a payment: the request's Idempotency-Key, which counts for
// requests that have effects, and the credential's own, which counts for all.
func (x *exchange) names(cred payment.Credential) ([]name, error) {
	var all []name
	fields := x.r.Header["Idempotency-Key"]
	if !safe(x.c.Method) && len(fields) > 0 {
		if len(fields) > 1 || len(fields[0]) == 0 || len(fields[0]) > 255 {
			return nil, &payment.Error{Kind: payment.KindBadRequest, Detail: "The Idempotency-Key must be one value of 1 to 255 bytes."}
		}
		all = append(all, name{principal: x.scope.Tenant, key: fields[0], fingerprint: x.scope.Hash()})
	}
	if cred.Key != "" {
		o := cred.Offer
		all = append(all, name{
			// A tenant is a host, so that nobody's Idempotency-Key is among these.
			principal: "payer " + x.scope.Tenant, key: digest(cred.Protocol, cred.Payer, cred.Key),
			fingerprint: digest(x.scope.Hash(), o.Method, o.Network, o.Recipient, o.Amount.String(), cred.Payer),
			own:         cred.Payer != "",
		})
	}
	return all, nil
}

// digest is a hash over fields with their lengths, so that no two lists share their input.
func digest(fields ...string) string {
	var b []byte
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// remember ties the names of a payment to this request and this challenge.
func (x *exchange) remember(cred payment.Credential) error {
	if x.g.cfg.Keys == nil {
		return nil
	}
	all, err := x.names(cred)
	if err != nil || len(all) == 0 {
		return err
	}
	// What cannot be a proof is refused before anything is stored for it.
	for _, m := range x.route.methods {
		if m.Name() == cred.Offer.Method {
			if _, err := m.Inspect(cred); err != nil {
				return err //nolint:wrapcheck // *payment.Error, made for the payer
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 10*time.Second)
	defer cancel()
	for _, n := range all {
		if err := x.claim(ctx, n, cred); err != nil {
			return err
		}
	}
	return nil
}

// claim takes a name for the credential, unless a payment that lives has it.
func (x *exchange) claim(ctx context.Context, n name, cred payment.Credential) error {
	// The value is challenge and end: a payment that was not begun by then never is.
	value := cred.ChallengeID + " " + strconv.FormatInt(cred.Expires.Unix(), 10)
	key := n.key
	for {
		existing, conflict, err := x.g.cfg.Keys.Remember(ctx, n.principal, key, n.fingerprint, value)
		switch {
		case err != nil:
			return &payment.Error{Kind: payment.KindInternal, Detail: "The request could not be recorded; nothing was charged.", RetryAfter: 5 * time.Second, Err: err}
		case conflict:
			return errKeyUsed
		case existing == "" || existing == value:
			return nil
		}
		id, end, _ := strings.Cut(existing, " ")
		until, err := strconv.ParseInt(end, 10, 64)
		if err != nil {
			return &payment.Error{Kind: payment.KindInternal, Detail: "The request could not be looked up; nothing was charged.", Err: err}
		}
		dead, err := x.g.cfg.Processor.Closed(ctx, id, time.Unix(until, 0))
		switch {
		case err != nil:
			return &payment.Error{Kind: payment.KindInternal, Detail: "The request could not be looked up; nothing was charged.", RetryAfter: 5 * time.Second, Err: err}
		case !dead:
			return x.earlier(ctx, n, id, cred.Payer)
		}
		key += "\x00" // the earlier attempt came to nothing; the next one has a row of its own
		if len(key) > 300 {
			return &payment.Error{Kind: payment.KindBadRequest, Detail: "Too many payments failed under this name; use another."}
		}
	}
}

// earlier refuses a payment because of the one that the challenge began.
func (x *exchange) earlier(ctx context.Context, n name, challenge, payer string) error {
	refusal := &payment.Error{
		Kind: payment.KindInProgress, RetryAfter: time.Second,
		Detail: "An earlier payment was made under this name; present its credential again. Nothing was charged now.",
	}
	if !n.own {
		return refusal
	}
	first, err := x.g.cfg.Processor.Begun(ctx, challenge)
	if err != nil || first.Payer != payer || first.Scope != x.scope {
		return refusal // not begun yet, or not for others to know
	}
	return &earlier{refusal, first.CredentialHash + x.scope.Hash()}
}

// conflicted answers for a name that belongs to another request.
func (x *exchange) conflicted() {
	x.ev.Outcome = OutcomeRefused
	x.problem(http.StatusConflict, "This Idempotency-Key, or name of a payment, belongs to another request; nothing was charged.")
}

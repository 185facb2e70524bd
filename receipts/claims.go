package receipts

import (
	"fmt"
	"time"

	"paywall/money"
)

// Claims are what a receipt states. For [Issuer.Issue] the fields marked
// optional may be left out; a verified receipt has all of them.
type Claims struct {
	// Issuer and Audience are set by the issuer, whatever they hold.
	Issuer, Audience string
	// PaymentID is the subject.
	PaymentID string
	// ID is the jti. Optional: made from the issuer's NewID.
	ID string
	// IssuedAt and Expires are whole seconds, UTC. Optional: the issuer's clock
	// and TTL. A use of kind [Until] sets Expires itself.
	IssuedAt, Expires time.Time

	Scope Scope
	// Amount is what was charged, to the unit.
	Amount money.Amount
	// Method is the rail, Reference its id of the charge.
	Method, Reference string
	Use               Use

	// Network names where the money moved: a CAIP-2 id for a chain. Optional: Method.
	Network string
	// Payer is the payer's public name at that network. Optional: "anonymous".
	Payer string
	// ResourceURL is what was bought. Optional: the issuer's origin and the
	// scope's target, without the query, and then without the path, when that is long.
	ResourceURL string
}

// UseKind says what a receipt allows beyond proving a payment.
type UseKind string

// Kinds of use.
const (
	// Once: one more request, exactly the one in the scope.
	Once UseKind = "once"
	// Times: N requests within the scope.
	Times UseKind = "n"
	// Until: any number of requests within the scope before a time.
	Until UseKind = "until"
	// Credit: requests within the scope, each drawn from a prepaid balance that
	// is kept under the payment id.
	Credit UseKind = "credit"
)

// Use is what a receipt allows. Nothing is implied: the zero value is refused.
type Use struct {
	Kind UseKind
	// N is the number of requests for [Times], zero otherwise.
	N int
	// Until is the end for [Until], zero otherwise.
	Until time.Time
}

// Counted returns how many requests the use allows in all, or false when they
// are not counted.
func (u Use) Counted() (int, bool) {
	switch u.Kind {
	case Once:
		return 1, true
	case Times:
		return u.N, true
	case Until, Credit:
		return 0, false
	default:
		return 0, true
	}
}

// pass reports whether the receipt may outlive [MaxTTL].
func (u Use) pass() bool { return u.Kind != Once }

// Bounds of fields, in bytes. Together they keep every receipt under [MaxSize].
const (
	maxID     = 128
	maxName   = 64
	maxField  = 256
	maxTarget = 512
	maxUses   = 1_000_000
)

// check refuses what this package would not issue. It is run on both sides, so
// that a verified receipt has the same guarantees as an issued one.
func (c Claims) check() error {
	for _, f := range [...]struct {
		name, value string
		limit       int
	}{
		{"sub", c.PaymentID, maxID},
		{"jti", c.ID, maxID},
		{"method", c.Method, maxName},
		{"reference", c.Reference, maxField},
		{"network", c.Network, maxField},
		{"payer", c.Payer, maxField},
		{"resourceUrl", c.ResourceURL, 2 * maxTarget},
	} {
		if !printable(f.value, f.limit) {
			return fmt.Errorf("%s: want 1 to %d printable ASCII characters: %w", f.name, f.limit, ErrClaims)
		}
	}
	if !c.Amount.Valid() || c.Amount.Units() < 0 {
		return fmt.Errorf("amount: %w", ErrClaims)
	}
	if !c.Expires.After(c.IssuedAt) {
		return fmt.Errorf("exp is not after iat: %w", ErrClaims)
	}
	if !c.Use.pass() && c.Expires.Sub(c.IssuedAt) > MaxTTL {
		return fmt.Errorf("exp: more than %s for a receipt that is no pass: %w", MaxTTL, ErrClaims)
	}
	if err := c.Scope.check(); err != nil {
		return err
	}
	return c.checkUse()
}

func (c Claims) checkUse() error {
	u := c.Use
	switch u.Kind {
	case Once:
		if !c.Scope.exact() {
			return fmt.Errorf("use once: the scope must name one request: %w", ErrClaims)
		}
	case Times:
		if u.N < 1 || u.N > maxUses {
			return fmt.Errorf("use n: want 1 to %d: %w", maxUses, ErrClaims)
		}
	case Until:
		if !u.Until.Equal(c.Expires) {
			return fmt.Errorf("use until: must be exp: %w", ErrClaims)
		}
	case Credit:
	default:
		return fmt.Errorf("use: unknown kind: %w", ErrClaims)
	}
	if (u.Kind != Times && u.N != 0) || (u.Kind != Until && !u.Until.IsZero()) {
		return fmt.Errorf("use %s: a member of another kind is set: %w", u.Kind, ErrClaims)
	}
	return nil
}

// printable reports whether s is 1 to limit bytes of visible ASCII or spaces.
func printable(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

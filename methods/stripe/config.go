package stripe

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v82"
)

// Names of the request parameter that carries the token. The processor has
// moved it between API versions.
const (
	ParamNested   = "nested"    // payment_method_data[shared_payment_granted_token]
	ParamTopLevel = "top_level" // shared_payment_granted_token
)

// DefaultAPIVersion is the first public version that knows Shared Payment Tokens.
const DefaultAPIVersion = "2026-04-22.preview"

// ProfileInternal is the profile of a seller that mints its own test tokens.
const ProfileInternal = "internal"

const (
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
	// ownMetadata is how many pairs this package may add to a charge.
	ownMetadata = 5
	maxSuffix   = 22
)

// Config is what a [Method] is made of. Key and Profile are required.
type Config struct {
	// Key is a secret or restricted API key (sk_ or rk_).
	Key Secret
	// Live must say what the key says: money that is real is asked for twice.
	Live bool
	// Profile is the seller's public profile, shown to payers as networkId:
	// "profile_…", or "internal" in test mode.
	Profile string
	// PaymentMethodTypes are told to payers; empty is card and link.
	PaymentMethodTypes []string

	// BaseURL is where the API is; empty is the processor's own. Plain http is
	// for loopback only, and a live key goes nowhere but to the processor.
	BaseURL string
	// APIVersion is sent with every call; empty is [DefaultAPIVersion]. A stored
	// intent keeps the version it was made with.
	APIVersion string
	// SPTParam is [ParamNested] (the default) or [ParamTopLevel].
	SPTParam string

	// ManualCapture lets charges be authorized first and taken once the goods are
	// made, for quotes that ask for it; otherwise such quotes are charged at once.
	// Banks may refuse to take what they promised, and a payer sees two movements.
	ManualCapture bool

	// Account is the connected account charged on where a route names none.
	Account string
	// StatementSuffix follows the account's prefix on card statements where a
	// route names none.
	StatementSuffix string
	// Metadata is stored with every charge.
	Metadata map[string]string

	// WebhookSecrets are the signing secrets of the endpoint; more than one
	// while they are rotated. Without one every webhook is refused.
	WebhookSecrets []Secret

	// Transport sends requests; nil is one made for this use, which ignores
	// proxies named in the environment. It must not retry.
	Transport http.RoundTripper
	// MaxInFlight bounds concurrent calls; zero is 64.
	MaxInFlight int
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

func wrong(field, format string, args ...any) error {
	return fmt.Errorf("stripe: Config.%s: %w", field, fmt.Errorf(format, args...))
}

// check fills in defaults and returns an error that names the field that is wrong.
func (c *Config) check() error {
	if c.BaseURL == "" {
		c.BaseURL = sdk.APIURL
	}
	if c.APIVersion == "" {
		c.APIVersion = DefaultAPIVersion
	}
	if c.SPTParam == "" {
		c.SPTParam = ParamNested
	}
	if len(c.PaymentMethodTypes) == 0 {
		c.PaymentMethodTypes = []string{"card", "link"}
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.MaxInFlight)
	}
	// The caller may go on using its maps and slices.
	c.PaymentMethodTypes, c.WebhookSecrets = slices.Clone(c.PaymentMethodTypes), slices.Clone(c.WebhookSecrets)
	c.Metadata = maps.Clone(c.Metadata)
	return errors.Join(c.checkKey(), c.checkBase(), c.checkProfile(), c.checkRest())
}

func (c *Config) checkKey() error {
	key := string(c.Key)
	live := strings.HasPrefix(key, "sk_live_") || strings.HasPrefix(key, "rk_live_")
	test := strings.HasPrefix(key, "sk_test_") || strings.HasPrefix(key, "rk_test_")
	switch {
	case key == "":
		return wrong("Key", "it is required")
	case !live && !test || !word(key, 512) || len(key) == len("sk_test_"):
		return wrong("Key", "it is no secret or restricted key (sk_test_, rk_test_, sk_live_, rk_live_)")
	case live && !c.Live:
		return wrong("Live", "the key is a live key, which moves real money; say Live to mean it")
	case test && c.Live:
		return wrong("Live", "the key is a test key")
	}
	return nil
}

func (c *Config) checkBase() error {
	u, err := url.Parse(c.BaseURL)
	if err != nil { // the error quotes the value, which may hold a password
		return wrong("BaseURL", "it is no URL")
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return wrong("BaseURL", "want a scheme, a host and no more")
	case u.Scheme == "http" && !loopback(u.Hostname()), u.Scheme != "http" && u.Scheme != "https":
		return wrong("BaseURL", "want https, or http to a loopback address")
	case c.Live && c.BaseURL != sdk.APIURL:
		return wrong("BaseURL", "a live key is sent to %s only", sdk.APIURL)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) checkProfile() error {
	switch {
	case c.Profile == "":
		return wrong("Profile", "it is required")
	case c.Profile == ProfileInternal && c.Live, strings.HasPrefix(c.Profile, "profile_test_") && c.Live:
		return wrong("Profile", "it is for test mode, and the key is live")
	case c.Profile != ProfileInternal && !identifier(c.Profile, "profile_"):
		return wrong("Profile", `want "profile_…" or %q`, ProfileInternal)
	}
	for _, t := range c.PaymentMethodTypes {
		if code(t) == "" {
			return wrong("PaymentMethodTypes", "%.20q is no payment method type", t)
		}
	}
	return nil
}

func (c *Config) checkRest() error {
	if !version(c.APIVersion) {
		return wrong("APIVersion", "want a date and a release, like %s", DefaultAPIVersion)
	}
	if c.SPTParam != ParamNested && c.SPTParam != ParamTopLevel {
		return wrong("SPTParam", "want %s or %s", ParamNested, ParamTopLevel)
	}
	if c.Account != "" && !identifier(c.Account, "acct_") {
		return wrong("Account", `want "acct_…"`)
	}
	if c.StatementSuffix != "" {
		if err := checkSuffix(c.StatementSuffix); err != nil {
			return wrong("StatementSuffix", "%w", err)
		}
	}
	if err := checkMetadata(c.Metadata, maxMetadata-ownMetadata); err != nil {
		return wrong("Metadata", "%w", err)
	}
	for _, s := range c.WebhookSecrets {
		if !identifier(string(s), "whsec_") {
			return wrong("WebhookSecrets", `want "whsec_…"`)
		}
	}
	if c.MaxInFlight < 0 {
		return wrong("MaxInFlight", "it is negative")
	}
	return nil
}

// version reports whether s looks like "2025-08-27.basil", or an old "2019-12-03".
func version(s string) bool {
	date, release, dotted := strings.Cut(s, ".")
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return false
	}
	return !dotted || code(release) != ""
}

// checkSuffix holds what card networks print.
func checkSuffix(s string) error {
	switch {
	case len(s) > maxSuffix:
		return fmt.Errorf("it is longer than %d characters", maxSuffix)
	case !printable(s) || strings.ContainsAny(s, `<>\'"*`):
		return errors.New(`it holds something other than plain characters, or one of <>\'"*`)
	case !strings.ContainsFunc(s, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }):
		return errors.New("it holds no letter")
	}
	return nil
}

// checkMetadata refuses what the processor would, and names that are ours.
func checkMetadata(m map[string]string, limit int) error {
	if len(m) > limit {
		return fmt.Errorf("%d pairs are more than %d", len(m), limit)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch {
		case k == "" || len(k) > maxMetadataKey || strings.ContainsAny(k, "[]") || !printable(k):
			return fmt.Errorf("name %.50q: want 1 to %d plain characters and no brackets", k, maxMetadataKey)
		case reserved(k):
			return fmt.Errorf("name %q is kept for this package", k)
		case m[k] == "" || len(m[k]) > maxMetadataValue:
			return fmt.Errorf("value of %q: want 1 to %d bytes", k, maxMetadataValue)
		}
	}
	return nil
}

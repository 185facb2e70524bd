package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

func (c *checker) methods() {
	if c.in.Methods.Stripe != nil {
		c.out.Methods.Stripe = c.stripe(c.in.Methods.Stripe)
	}
	c.facilitators()
}

var (
	stripeVersion = regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z0-9_]{1,32})?$`)
	stripeType    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	stripeAccount = regexp.MustCompile(`^acct_[A-Za-z0-9]{1,64}$`)
	stripeProfile = regexp.MustCompile(`^(profile_[A-Za-z0-9_]{1,128}|internal)$`)
)

func (c *checker) stripe(in *stripeFile) *Stripe {
	const at = "methods.stripe."
	out := &Stripe{
		Profile: in.Profile, Live: in.Live, APIVersion: in.APIVersion, SPTParam: in.SPTParam, ManualCapture: in.ManualCapture,
		Account: in.Account, StatementSuffix: in.StatementSuffix, Metadata: in.Metadata,
	}
	c.missing(at+"key", "write env:NAME or file:PATH of a restricted or secret key")
	c.missing(at+"profile", "write the profile_… of your account")
	out.Key = c.processorKey(at+"key", in)
	if in.Profile != "" && !stripeProfile.MatchString(in.Profile) {
		c.fault(at+"profile", "%s is not a profile; write profile_…", clip(in.Profile))
	}
	if in.Live && (in.Profile == "internal" || strings.HasPrefix(in.Profile, "profile_test_")) {
		c.fault(at+"profile", "is one for tests but live is true")
	}
	for i, t := range in.PaymentMethodTypes {
		path := item(at+"payment_method_types", i)
		switch {
		case t == "": // reported when it was read
		case !stripeType.MatchString(t):
			c.fault(path, "%s is not a type of payment; write card, link", clip(t))
		case slices.Contains(in.PaymentMethodTypes[:i], t):
			c.fault(path, "%s is given twice", t)
		}
	}
	out.PaymentMethodTypes = in.PaymentMethodTypes
	out.WebhookSecrets = c.webhookSecrets(at+"webhook_secret", in.WebhookSecret)
	if c.live() && len(in.WebhookSecret) == 0 {
		c.warn("methods.stripe", "there is no webhook_secret, so disputes and refunds made elsewhere are not noticed")
	}
	if in.APIVersion != "" && !stripeVersion.MatchString(in.APIVersion) {
		c.fault(at+"api_version", "%s is not a version; write 2026-04-22.preview", clip(in.APIVersion))
	}
	if in.BaseURL != "" {
		out.BaseURL = c.processorURL(at+"base_url", in.BaseURL)
	}
	c.account(at+"account", in.Account)
	c.statementSuffix(at+"statement_suffix", in.StatementSuffix)
	c.metadata(at+"metadata", in.Metadata)
	return out
}

func (c *checker) processorKey(path string, in *stripeFile) Secret {
	key, ok := c.resolve(path, in.Key)
	if !ok {
		return Secret{}
	}
	kind, rest, _ := strings.Cut(key, "_")
	mode, rest, _ := strings.Cut(rest, "_")
	switch {
	case kind == "pk":
		c.fault(path, "is a publishable key; the secret or a restricted key is needed: sk_… or rk_…")
		return Secret{}
	case kind != "sk" && kind != "rk", mode != "live" && mode != "test", rest == "", !visible(key):
		c.fault(path, "is not a key of the processor; it begins with sk_test_, rk_test_, sk_live_ or rk_live_")
		return Secret{}
	}
	c.stripeKey = key
	if in.Key.literal() {
		c.literal(path, mode == "live")
	}
	switch {
	case mode == "live" && !in.Live:
		c.fault(path, "is a live key; say methods.stripe.live: true if real money is to move, or use a test key")
	case mode == "test" && in.Live:
		c.fault(path, "is a test key but live is true; use a live key, or leave live out")
	}
	return NewSecret(key)
}

func (c *checker) webhookSecrets(path string, in []reference) []Secret {
	var out []Secret
	for i, r := range in {
		at := item(path, i)
		if !c.has(at) {
			at = path // a single value
		}
		value, ok := c.resolve(at, r)
		switch {
		case !ok:
			continue
		case len(value) < 16 || !visible(value):
			c.fault(at, "is not a signing secret; write the whsec_… of the webhook endpoint, as env:NAME or file:PATH")
			continue
		case slices.ContainsFunc(out, func(s Secret) bool { return s.Reveal() == value }):
			c.fault(at, "is given twice")
		case r.literal():
			c.literal(at, c.live())
		}
		out = append(out, NewSecret(value))
	}
	return out
}

// processorURL sends the key to another server, so a live key never goes along.
func (c *checker) processorURL(path, text string) string {
	u, ok := c.origin(path, text)
	if !ok {
		return ""
	}
	switch {
	case c.live():
		c.fault(path, "would send a live key to another server; leave it out")
	case u.Scheme != "https" && !loopback(u.Hostname()):
		c.fault(path, "is plain HTTP beyond loopback; write https://")
	}
	return u.String()
}

func (c *checker) account(path, id string) {
	if id != "" && !stripeAccount.MatchString(id) {
		c.fault(path, "%s is not an account; write acct_…", clip(id))
	}
}

// Limits of the processor.
const (
	maxSuffix        = 22
	maxMetadata      = 20
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

func (c *checker) statementSuffix(path, s string) {
	if s == "" {
		return
	}
	letters := strings.ContainsFunc(s, func(r rune) bool { return r < unicode.MaxASCII && unicode.IsLetter(r) })
	if len(s) > maxSuffix || !printable(s) || !letters || strings.ContainsAny(s, `<>\'"*`) {
		c.fault(path, `is not for a card statement; it has at most 22 ASCII characters, at least one letter, and none of < > \ ' " *`)
	}
}

func (c *checker) metadata(path string, m map[string]string) {
	if len(m) > maxMetadata {
		c.fault(path, "has %d pairs; there are at most %d", len(m), maxMetadata)
	}
	for _, key := range sortedKeys(m) {
		at := join(path, key)
		switch {
		case key == "" || len(key) > maxMetadataKey || !printable(key) || strings.ContainsAny(key, "[]"):
			c.fault(at, "a name has 1 to %d ASCII characters, without brackets", maxMetadataKey)
		case strings.HasPrefix(key, "paywall") || strings.HasPrefix(key, "mpp_") || key == "machine_payment" || key == "challenge_id":
			c.fault(at, "is a name that this server sets itself; choose another")
		case len(m[key]) > maxMetadataValue:
			c.fault(at, "is longer than %d bytes", maxMetadataValue)
		}
	}
}

// printable reports whether s is only printable ASCII and spaces.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// visible is [printable] without spaces.
func visible(s string) bool { return printable(s) && !strings.Contains(s, " ") }

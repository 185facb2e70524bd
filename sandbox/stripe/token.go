package stripe

import (
	"errors"
	"strings"
	"time"
)

// Reasons for which a token is dead.
const (
	reasonConsumed = "consumed"
	reasonExpired  = "expired"
	reasonRevoked  = "revoked"
)

// maxTokenLife is how far ahead a token may expire.
const maxTokenLife = 90 * 24 * time.Hour

// elsewhere owns what was granted to sellers that nobody here speaks for.
const elsewhere = "acct_sandboxelsewhere"

// A token is a shared payment token, seen from both sides.
type token struct {
	id          string
	created     time.Time
	seller      *account
	issuer      *account // nil if the seller granted it to itself
	conduct     conduct
	customer    string
	currency    string
	max         int64
	expires     time.Time // zero: never
	deactivated time.Time
	reason      string
	captured    int64
	metadata    map[string]string
	profile     string // the seller as the issuer named it
	external    string
	method      string // as the issuer named it
	intent      string // that consumed it
}

func (t *token) ident() string   { return t.id }
func (t *token) born() time.Time { return t.created }

func (t *token) render() object {
	var agent any
	if t.issuer != nil {
		agent = object{"network_business_profile": t.issuer.profile}
	}
	details := t.conduct.details()
	details["billing_details"] = billing()
	var shared any
	if len(t.metadata) > 0 {
		shared = notes(t.metadata)
	}
	return object{
		"id": t.id, "object": "shared_payment.granted_token", "created": t.created.Unix(), "livemode": false,
		"deactivated_at": unix(t.deactivated), "deactivated_reason": orNull(t.reason),
		"usage_limits":  object{"currency": t.currency, "max_amount": t.max, "expires_at": unix(t.expires)},
		"usage_details": object{"amount_captured": object{"value": t.captured, "currency": t.currency}},
		"agent_details": agent, "payment_method_details": details, "risk_details": nil, "shared_metadata": shared,
	}
}

// issued renders the agent's side.
func (t *token) issued() object {
	status, next := "active", any(nil)
	switch {
	case !t.deactivated.IsZero():
		status = "deactivated"
	case t.conduct.action:
		status = statusAction
		next = object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"value": "sandbox_" + t.id}}
	}
	o := t.render()
	delete(o, "agent_details")
	delete(o, "payment_method_details")
	o["object"] = "shared_payment.issued_token"
	o["payment_method"] = t.method
	o["seller_details"] = object{"network_business_profile": orNull(t.profile), "external_id": orNull(t.external)}
	o["status"], o["next_action"] = status, next
	o["return_url"], o["setup_future_usage"], o["use_stripe_sdk"] = nil, nil, nil
	return o
}

// A grant is what both ways of making a token have in common.
type grant struct {
	method   string
	currency string
	max      int64
	expires  time.Time
	metadata map[string]string
}

func readGrant(c *call) grant {
	g := grant{method: c.need("payment_method"), metadata: c.metadata("shared_metadata", nil)}
	limits := c.group("usage_limits")
	g.currency = limits.currency()
	var ok bool
	if g.max, ok = limits.integer("max_amount", 1); !ok {
		limits.missing("max_amount")
	}
	if at, ok := limits.integer("expires_at", 0); ok {
		g.expires = time.Unix(at, 0).UTC()
		if err := checkExpiry(g.expires, c.now); err != nil {
			c.fail(err)
		}
	}
	return g
}

func checkExpiry(at, now time.Time) error {
	if !at.After(now) || at.After(now.Add(maxTokenLife)) {
		return invalid("", "usage_limits[expires_at]", "The expiration must be in the future and at most 90 days from now.")
	}
	return nil
}

// mint makes an active token.
func (s *Server) mint(seller, issuer *account, g grant, now time.Time) (*token, error) {
	known, ok := conductOf(g.method)
	customer := ""
	for _, a := range []*account{issuer, seller} {
		if a == nil || ok {
			continue
		}
		var m *method
		if m, ok = a.methods.get(g.method); ok {
			known, customer = m.conduct, m.customer
		}
	}
	if !ok {
		return nil, refused("resource_missing", "payment_method", "No such PaymentMethod: '%.100s'", g.method)
	}
	t := &token{
		id: s.newID("spt"), created: now, seller: seller, issuer: issuer, conduct: known, customer: customer,
		currency: g.currency, max: g.max, expires: g.expires, metadata: g.metadata, method: g.method,
	}
	seller.tokens.add(t)
	if !t.expires.IsZero() {
		s.later(t.expires, func(now time.Time) { s.deactivate(t, reasonExpired, now) })
	}
	return t, nil
}

// deactivate ends a token once, whatever comes later.
func (s *Server) deactivate(t *token, reason string, now time.Time) {
	if !t.deactivated.IsZero() {
		return
	}
	t.deactivated, t.reason = now, reason
	what := "deactivated"
	if reason == reasonConsumed {
		what = "used"
	}
	s.emit(t.seller, "shared_payment.granted_token."+what, t.render(), nil)
	if t.issuer != nil {
		s.emit(t.issuer, "shared_payment.issued_token."+what, t.issued(), nil)
	}
}

// usable is the processor's check before a charge. None of its refusals has a
// code: a client has to read the token to learn why.
func (t *token) usable(amount int64, currency string) error {
	const param = "payment_method_data[shared_payment_granted_token]"
	switch {
	case !t.deactivated.IsZero():
		return refused("", param, "The shared payment granted token cannot be used because it is already in a deactivated state.")
	case currency != t.currency:
		return refused("", param, "The currency of the payment differs from the currency of this shared payment granted token.")
	case amount > t.max-t.captured:
		return refused("", param, "The requested amount is greater than the remaining amount capturable with this shared payment granted token.")
	}
	return nil
}

func (s *Server) tokenFor(a *account, id string) (*token, error) {
	if t, ok := a.tokens.get(id); ok {
		return t, nil
	}
	return nil, noSuch("shared_payment_granted_token", "shared_payment_granted_token", id)
}

// seller is the account that a business profile speaks for.
func (s *Server) seller(profile string) *account {
	if profile == "" || profile == "internal" || profile == s.cfg.Profile {
		return s.state.account(platformAccount)
	}
	for _, a := range s.state.sorted() {
		if a.profile == profile {
			return a
		}
	}
	if s.cfg.Profile == "" {
		return s.state.account(platformAccount)
	}
	return s.state.account(elsewhere)
}

// createGranted is the test helper: a seller grants itself a token. Older
// parameters that named the seller are accepted and change nothing.
func (s *Server) createGranted(c *call) (object, error) {
	g := readGrant(c)
	c.ignore("seller_details", "customer", "agent_details")
	if err := c.finish(); err != nil {
		return nil, err
	}
	t, err := s.mint(c.account, nil, g, c.now)
	if err != nil {
		return nil, err
	}
	return t.render(), nil
}

func (s *Server) retrieveGranted(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	t, err := s.tokenFor(c.account, c.id)
	if err != nil {
		return nil, err
	}
	return t.render(), nil
}

func (s *Server) revokeGranted(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	t, err := s.tokenFor(c.account, c.id)
	if err != nil {
		return nil, err
	}
	if err := s.revoke(t, c.now); err != nil {
		return nil, err
	}
	return t.render(), nil
}

func (s *Server) revoke(t *token, now time.Time) error {
	if !t.deactivated.IsZero() {
		return refused("", "", "The shared payment token cannot be revoked because it is already in a deactivated state.")
	}
	s.deactivate(t, reasonRevoked, now)
	return nil
}

func (s *Server) createIssued(c *call) (object, error) {
	g := readGrant(c)
	details := c.group("seller_details")
	profile, external := details.str("network_business_profile"), details.str("external_id")
	if older := details.str("network_id"); profile == "" {
		profile = older
	}
	if profile == "" {
		details.missing("network_business_profile")
	}
	c.one("setup_future_usage", "on_session")
	c.ignore("use_stripe_sdk")
	if err := c.finish(); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(profile, "profile_") && !strings.HasPrefix(profile, "profile_test_"):
		return nil, refused("", "seller_details[network_business_profile]", "The livemode of the request does not match the livemode of the network_id.")
	case profile == c.account.profile:
		return nil, refused("", "seller_details[network_business_profile]", "The network_id must differ from the counterparty network_id.")
	}
	t, err := s.mint(s.seller(profile), c.account, g, c.now)
	if err != nil {
		return nil, err
	}
	t.profile, t.external = profile, external
	what := "active"
	if t.conduct.action {
		what = statusAction
	}
	s.emit(c.account, "shared_payment.issued_token."+what, t.issued(), nil)
	return t.issued(), nil
}

// issuedBy finds a token from the side of its issuer.
func (s *Server) issuedBy(issuer *account, id string) (*token, error) {
	for _, a := range s.state.sorted() {
		if t, ok := a.tokens.get(id); ok && t.issuer == issuer {
			return t, nil
		}
	}
	return nil, noSuch("shared_payment_issued_token", "id", id)
}

func (s *Server) retrieveIssued(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	t, err := s.issuedBy(c.account, c.id)
	if err != nil {
		return nil, err
	}
	return t.issued(), nil
}

func (s *Server) revokeIssued(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	t, err := s.issuedBy(c.account, c.id)
	if err != nil {
		return nil, err
	}
	if err := s.revoke(t, c.now); err != nil {
		return nil, err
	}
	return t.issued(), nil
}

// Grant makes a token as a buyer's wallet does: for at most maxAmount in the
// smallest unit of currency, until expires, for the seller of that business
// profile. A refusal is an [*Error].
func (s *Server) Grant(paymentMethod, currency string, maxAmount int64, expires time.Time, networkID string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	now := s.now()
	currency = strings.ToLower(currency)
	switch {
	case !knownCurrency(currency):
		return "", invalid("", "currency", "Invalid currency: %.10s.", currency)
	case maxAmount < 1:
		return "", invalid("parameter_invalid_integer", "max_amount", "This value must be greater than or equal to 1.")
	}
	if err := checkExpiry(expires, now); err != nil {
		return "", err
	}
	g := grant{method: paymentMethod, currency: currency, max: maxAmount, expires: expires.UTC()}
	wallet := s.state.account(walletAccount)
	t, err := s.mint(s.seller(networkID), wallet, g, now)
	if err != nil {
		return "", err
	}
	t.profile = networkID
	return t.id, nil
}

// walletAccount issues what buyers' wallets grant.
const walletAccount = "acct_sandboxwallet"

// ErrNoToken is the answer for a token that was never granted.
var ErrNoToken = errors.New("stripe: no such token")

// Revoke ends a token that has not been used. A token that is over already is an
// [*Error], an unknown one [ErrNoToken].
func (s *Server) Revoke(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	t := s.anyToken(id)
	if t == nil {
		return ErrNoToken
	}
	return s.revoke(t, s.now())
}

// A TokenState is what became of a token.
type TokenState struct {
	DeactivatedReason string // empty while it is active, else consumed, expired or revoked
	Captured          int64
	Currency          string
	Max               int64
	Expires           time.Time // zero: never
	Intent            string    // the payment that consumed it
}

// Token reports the state of a token, whoever it was granted to.
func (s *Server) Token(id string) (state TokenState, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	t := s.anyToken(id)
	if t == nil {
		return TokenState{}, false
	}
	return TokenState{
		DeactivatedReason: t.reason, Captured: t.captured, Currency: t.currency, Max: t.max, Expires: t.expires, Intent: t.intent,
	}, true
}

func (s *Server) anyToken(id string) *token {
	for _, a := range s.state.accounts {
		if t, ok := a.tokens.get(id); ok {
			return t
		}
	}
	return nil
}

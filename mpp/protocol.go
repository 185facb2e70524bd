package mpp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"paywall/payment"
)

const expiresLayout = "2006-01-02T15:04:05Z"

// Config makes a [Protocol].
type Config struct {
	Keys *KeyRing
	// TTL is how long a challenge is good for; zero is five minutes, at most an hour.
	TTL time.Duration
	// Rand is the source of nonces; nil is crypto/rand.
	Rand io.Reader
	// MaxCredential is in bytes; zero is [DefaultCredentialBytes], at most [MaxCredentialBytes].
	MaxCredential int
	// SeparateHeader asks for the credential in Payment-Authorization, for
	// routes that need Authorization themselves. Some wallets cannot do that.
	SeparateHeader bool
}

// Protocol is the scheme as a [payment.Protocol].
type Protocol struct{ cfg Config }

// New checks c and makes the protocol.
func New(c Config) (*Protocol, error) {
	if c.Keys == nil {
		return nil, errors.New("mpp: Keys is missing")
	}
	if c.TTL == 0 {
		c.TTL = 5 * time.Minute
	}
	if c.TTL < time.Second || c.TTL > time.Hour {
		return nil, errors.New("mpp: TTL is not between a second and an hour")
	}
	if c.MaxCredential == 0 {
		c.MaxCredential = DefaultCredentialBytes
	}
	if c.MaxCredential < 4<<10 || c.MaxCredential > MaxCredentialBytes {
		return nil, errors.New("mpp: MaxCredential is not between 4 and 16 KiB")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Protocol{cfg: c}, nil
}

// Name is "mpp".
func (*Protocol) Name() string { return "mpp" }

// Presents looks at every line of both fields.
func (*Protocol) Presents(h http.Header) bool {
	_, _, n := presented(h)
	return n > 0
}

func presented(h http.Header) (token, field string, n int) {
	for _, name := range [...]string{defaultHeader, PaymentAuthorization} {
		for _, v := range h[name] {
			t, k := findToken(v)
			if n == 0 && k > 0 {
				token, field = t, name
			}
			n += k
		}
	}
	return token, field, n
}

type dialect struct {
	cfg    Config
	realm  string
	header string
	offers []compiled
	last   atomic.Pointer[stamp]
}

// compiled is an offer with all that never changes written out.
type compiled struct {
	offer   payment.Offer
	request string
	slots   string // realm|method|intent|request|
	params  string // `", realm=… request="…"` and description, up to digest
}

// Compile renders the offers once. An offer that the scheme cannot express is left out.
func (p *Protocol) Compile(realm string, offers []payment.Offer) (payment.Dialect, error) {
	d := &dialect{cfg: p.cfg, realm: realm}
	if p.cfg.SeparateHeader {
		d.header = PaymentAuthorization
	}
	for _, o := range offers {
		if o.Protocol != "" && o.Protocol != p.Name() {
			continue
		}
		request, err := offerRequest(o)
		if err != nil {
			continue
		}
		c := Challenge{
			ID: "-", Realm: realm, Method: o.Method, Intent: o.Intent, Request: request,
			Description: o.Quote.Description,
		}
		line, err := c.Format()
		if err != nil {
			continue
		}
		d.offers = append(d.offers, compiled{
			offer: o, request: request,
			slots:  realm + "|" + o.Method + "|" + o.Intent + "|" + request + "|",
			params: strings.TrimPrefix(line, `Payment id="-`),
		})
	}
	if len(d.offers) == 0 {
		return nil, fmt.Errorf("mpp: %w", payment.ErrNotOffered)
	}
	return d, nil
}

func offerRequest(o payment.Offer) (string, error) {
	if !o.Amount.IsPositive() {
		return "", payment.ErrNotOffered
	}
	m := map[string]any{
		"amount": strconv.FormatInt(o.Amount.Units(), 10), "currency": strings.ToLower(o.Amount.Currency()),
	}
	if o.Recipient != "" {
		m["recipient"] = o.Recipient
	}
	if len(o.Details) > 0 {
		m["methodDetails"] = o.Details
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	return EncodeRequest(b)
}

// Challenge adds one line per acceptable offer.
func (d *dialect) Challenge(h http.Header, r *http.Request, sc payment.Scope, now time.Time) error {
	if sc.Digest != "" && (!printable(sc.Digest) || strings.ContainsAny(sc.Digest, "|\"\\")) {
		return fmt.Errorf("%w: digest", ErrFormat)
	}
	at := d.expires(now).text[:]
	sum := sha256.Sum256([]byte(sc.Target))
	var target [targetBytes]byte
	base64.RawURLEncoding.Encode(target[:], sum[:])
	accept := r.Header[AcceptPayment]
	h["Www-Authenticate"] = slices.Grow(h["Www-Authenticate"], len(d.offers))
	if len(accept) == 0 {
		for i := range d.offers {
			if err := d.write(h, &d.offers[i], &sc, target[:], at); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range d.accepted(strings.Join(accept, ",")) {
		if err := d.write(h, &d.offers[i], &sc, target[:], at); err != nil {
			return err
		}
	}
	return nil
}

// stamp is a time as it is written, kept for the second that it names.
type stamp struct {
	second int64
	text   [len(expiresLayout)]byte
}

// expires is when a challenge that is made now ends. Years that do not fit into
// four digits are cut off, and nobody lives to see them.
func (d *dialect) expires(now time.Time) *stamp {
	at := now.Add(d.cfg.TTL)
	if s := d.last.Load(); s != nil && s.second == at.Unix() {
		return s
	}
	s := &stamp{second: at.Unix()}
	copy(s.text[:], at.UTC().AppendFormat(nil, expiresLayout))
	d.last.Store(s)
	return s
}

func (d *dialect) write(h http.Header, o *compiled, sc *payment.Scope, target, expires []byte) error {
	k := d.cfg.Keys.current
	s, ok := k.pool.Get().(*scratch)
	if !ok {
		return errors.New("mpp: no scratch")
	}
	defer k.pool.Put(s)
	if err := s.draw(d.cfg.Rand); err != nil {
		return err
	}
	var err error
	if s.opaque, err = s.appendOpaque(s.opaque[:0], k.id, sc, target, o.offer.Quote.Version); err != nil {
		return err
	}
	m := append(s.msg[:0], o.slots...)
	m = append(append(m, expires...), '|')
	m = append(append(m, sc.Digest...), '|')
	if d.header != "" {
		m = append(append(m, d.header...), '|')
	}
	from := len(m)
	m = base64.RawURLEncoding.AppendEncode(m, s.opaque)
	s.msg = m
	s.seal(m)

	b := append(append(s.line[:0], `Payment id="`...), s.id[:]...)
	b = append(b, o.params...)
	if sc.Digest != "" {
		b = append(append(append(b, `, digest="`...), sc.Digest...), '"')
	}
	b = append(append(append(b, `, expires="`...), expires...), '"')
	if d.header != "" {
		b = append(append(append(b, `, header="`...), d.header...), '"')
	}
	b = append(append(append(b, `, opaque="`...), m[from:]...), '"')
	s.line = b
	if len(b) > MaxChallengeBytes {
		return fmt.Errorf("%w: too long", ErrFormat)
	}
	h["Www-Authenticate"] = append(h["Www-Authenticate"], string(b))
	return nil
}

// draw takes a nonce. The system's randomness comes in portions, as it costs the
// same for one nonce or for many; another source is read as it is needed.
func (s *scratch) draw(source io.Reader) error {
	if source != rand.Reader {
		if _, err := io.ReadFull(source, s.nonce[:]); err != nil {
			return fmt.Errorf("nonce: %w", err)
		}
		return nil
	}
	if s.unused == 0 {
		if _, err := io.ReadFull(source, s.random[:]); err != nil {
			return fmt.Errorf("nonce: %w", err)
		}
		s.unused = len(s.random) / nonceBytes
	}
	s.unused--
	copy(s.nonce[:], s.random[s.unused*nonceBytes:])
	return nil
}

func refuse(k payment.Kind, detail string, err error) error {
	return &payment.Error{Kind: k, Detail: detail, Err: err}
}

// Credential checks in the order binding, offer, scope, expiry, digest, so that
// nothing in the echo is believed before the MAC holds.
func (d *dialect) Credential(r *http.Request, sc payment.Scope, now time.Time) (payment.Credential, error) {
	var none payment.Credential
	token, field, n := presented(r.Header)
	switch {
	case n == 0:
		return none, &payment.Error{Kind: payment.KindPaymentRequired, Detail: "Payment is required.", Err: payment.ErrNoCredential}
	case n > 1:
		return none, refuse(payment.KindBadRequest, "More than one payment credential.", ErrSeveralCredentials)
	}
	c, err := decodeCredential(token, d.cfg.MaxCredential)
	if err != nil {
		return none, refuse(payment.KindMalformedCredential, "The credential cannot be read.", err)
	}
	const foreign = "The challenge is not one of ours for this request."
	key, bound := d.cfg.Keys.verify(&c.Challenge)
	if !bound {
		return none, refuse(payment.KindInvalidChallenge, foreign, errors.New("binding"))
	}
	// Not read before it is trusted: what is forged is not worth the work.
	scope, err := openOpaque(c.Challenge.Opaque)
	if err != nil {
		return none, refuse(payment.KindInvalidChallenge, foreign, err)
	}
	if scope["k"] != key {
		return none, refuse(payment.KindInvalidChallenge, foreign, errors.New("key"))
	}
	want := d.header
	if want == "" {
		want = defaultHeader
	}
	if c.Challenge.Realm != d.realm || c.Challenge.Header != d.header || field != want {
		return none, refuse(payment.KindInvalidChallenge, foreign, errors.New("realm or field"))
	}
	if err := sameScope(scope, &sc); err != nil {
		return none, refuse(payment.KindInvalidChallenge, foreign, err)
	}
	expires, err := time.Parse(expiresLayout, c.Challenge.Expires)
	if err != nil {
		return none, refuse(payment.KindInvalidChallenge, foreign, errors.New("expires"))
	}
	if c.Challenge.Digest != sc.Digest {
		return none, refuse(payment.KindInvalidChallenge, "The body is not the one that was priced.", errors.New("digest"))
	}
	payload, err := Canonical(c.Payload)
	if err != nil {
		return none, refuse(payment.KindMalformedCredential, "The credential cannot be read.", err)
	}
	cred := payment.Credential{
		Protocol: "mpp", ChallengeID: c.Challenge.ID, Scope: sc, Payload: payload,
		Offer: payment.Offer{Method: c.Challenge.Method, Intent: c.Challenge.Intent},
		Hash:  hashCredential(c.Challenge.ID, payload), Expires: expires,
	}
	o, kind := d.find(&c.Challenge, scope["v"])
	if o == nil {
		return cred, refuse(kind, "This offer is not made for this request.", payment.ErrNotOffered)
	}
	cred.Offer = o.offer
	if !now.Before(expires) {
		return cred, refuse(payment.KindPaymentExpired, "The challenge has expired.", nil)
	}
	return cred, nil
}

// Fingerprint implements [payment.Protocol].
func (p *Protocol) Fingerprint(h http.Header) (string, error) {
	token, _, n := presented(h)
	if n != 1 {
		return "", payment.ErrNoCredential
	}
	c, err := decodeCredential(token, p.cfg.MaxCredential)
	if err != nil {
		return "", fmt.Errorf("%w: %w", payment.ErrNoCredential, err)
	}
	payload, err := Canonical(c.Payload)
	if err != nil {
		return "", fmt.Errorf("%w: %w", payment.ErrNoCredential, err)
	}
	return hashCredential(c.Challenge.ID, payload), nil
}

func (d *dialect) find(c *Challenge, version string) (*compiled, payment.Kind) {
	kind := payment.KindMethodUnsupported
	for i := range d.offers {
		o := &d.offers[i]
		if o.offer.Method != c.Method || o.offer.Intent != c.Intent {
			continue
		}
		if o.request == c.Request && o.offer.Quote.Version == version {
			return o, 0
		}
		kind = payment.KindInvalidChallenge
	}
	return nil, kind
}

// Receipt sets Payment-Receipt and keeps the answer out of shared caches.
func (*dialect) Receipt(h http.Header, p payment.Payment, token string) error {
	r := Receipt{
		Status: "success", Method: p.Method, Reference: p.Reference,
		Timestamp: p.SettledAt.UTC().Format(time.RFC3339),
	}
	id, err := json.Marshal(p.ChallengeID)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	r.Extra = map[string]json.RawMessage{"challengeId": id}
	if token != "" {
		jwt, err := json.Marshal(token)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrReceipt, err)
		}
		r.Extra["jwt"] = jwt
	}
	v, err := r.Format()
	if err != nil {
		return err
	}
	h.Set(PaymentReceipt, v)
	SetPrivate(h)
	return nil
}

package receipts

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// PublisherConfig is what a [Publisher] needs.
type PublisherConfig struct {
	Keys *KeyRing
	// Issuer and Host are as in [Config].
	Issuer, Host string
	// MaxAge is how long readers may keep the documents. Zero is 5 minutes; a
	// new key should be published for longer than that before it signs.
	MaxAge time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Publisher serves the public halves of a key ring. Revoked keys and verifying
// keys past their end are left out; private members have no way in.
type Publisher struct {
	cfg   PublisherConfig
	did   string
	cache atomic.Pointer[rendering]
}

// rendering is both documents for one snapshot of the ring, good until one of
// its keys ends.
type rendering struct {
	set       *keySet
	until     time.Time
	jwks, did document
}

type document struct {
	body []byte
	etag string
}

// NewPublisher checks the configuration and renders the documents once.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Keys == nil {
		return nil, fmt.Errorf("publisher: Keys is missing: %w", ErrKey)
	}
	id, err := newIdentity(cfg.Issuer, "-", cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 5 * time.Minute
	}
	if cfg.MaxAge < 0 {
		return nil, fmt.Errorf("publisher: MaxAge is negative: %w", ErrKey)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Publisher{cfg: cfg, did: id.did}
	if _, err := p.current(); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	return p, nil
}

// JWKS serves the key set, for /.well-known/jwks.json. A kid is the full DID URL.
func (p *Publisher) JWKS() http.Handler {
	return p.handler(func(r *rendering) document { return r.jwks })
}

// DID serves the did:web document, for /.well-known/did.json.
func (p *Publisher) DID() http.Handler {
	return p.handler(func(r *rendering) document { return r.did })
}

func (p *Publisher) handler(pick func(*rendering) document) http.Handler {
	cacheControl := fmt.Sprintf("public, max-age=%d, must-revalidate", int64(p.cfg.MaxAge/time.Second))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		current, err := p.current()
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		doc := pick(current)
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", cacheControl)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Access-Control-Allow-Origin", "*") // public keys are for pages, too
		h.Set("Etag", doc.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.body))
	})
}

func (p *Publisher) current() (*rendering, error) {
	set, now := p.cfg.Keys.set.Load(), p.cfg.Now()
	if r := p.cache.Load(); r != nil && r.set == set && (r.until.IsZero() || now.Before(r.until)) {
		return r, nil
	}
	r, err := render(set, p.did, now)
	if err != nil {
		return nil, err
	}
	p.cache.Store(r)
	return r, nil
}

type verificationMethod struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Controller string `json:"controller"`
	JWK        jwk    `json:"publicKeyJwk"`
}

func render(set *keySet, did string, now time.Time) (*rendering, error) {
	r := &rendering{set: set}
	keys, methods, ids := []jwk{}, []verificationMethod{}, []string{}
	for _, k := range set.keys {
		if k.Status == Revoked || k.dead(now) {
			continue
		}
		if !k.NotAfter.IsZero() && (r.until.IsZero() || k.NotAfter.Before(r.until)) {
			r.until = k.NotAfter
		}
		j, err := k.jwk(did)
		if err != nil {
			return nil, err
		}
		keys, ids = append(keys, j), append(ids, j.KeyID)
		methods = append(methods, verificationMethod{ID: j.KeyID, Type: "JsonWebKey2020", Controller: did, JWK: j})
	}
	var err error
	if r.jwks, err = newDocument(map[string]any{"keys": keys}); err != nil {
		return nil, err
	}
	r.did, err = newDocument(map[string]any{
		"@context":           []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"},
		"id":                 did,
		"verificationMethod": methods,
		"assertionMethod":    ids,
	})
	return r, err
}

func newDocument(v any) (document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return document{}, fmt.Errorf("render keys: %w", err)
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + b64(sum[:12]) + `"`}, nil
}

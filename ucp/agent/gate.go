package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"paywall/internal/httpsig"
	"paywall/ucp/protocol"
)

// Request is what is known of a request before anything of it is believed.
type Request struct {
	// Parts are as they were sent; Body is the whole body, unread.
	Parts httpsig.Parts
	Body  []byte
	// Profile is the URL that the caller names, from header or body.
	Profile string
}

// APIKey is a key that an agent was given.
type APIKey struct {
	Name string
	// Hash is the SHA-256 of the key.
	Hash [sha256.Size]byte
	// Profiles are those that its holder may name.
	Profiles []string
}

// Tokens tells whether a bearer token is good, and whose.
type Tokens interface {
	// Verify returns the client and the profiles that it may name. An error that wraps
	// [ErrToken] is of the token; others are of whoever was asked.
	Verify(ctx context.Context, token string) (client string, profiles []string, err error)
}

// ErrToken says that a token is not good.
var ErrToken = errors.New("the token is not good")

// Config is what a [Gate] is made of. Directory and Offer are required.
type Config struct {
	Directory *Directory
	Offer     Offer
	Keys      []APIKey
	// Tokens, if set, takes bearer tokens; Issuer is where they come from.
	Tokens Tokens
	Issuer string
	// Authenticated wants a key, a token or a signature; Signature wants a signature.
	Authenticated, Signature bool
	Now                      func() time.Time
}

// Gate says who calls. It is safe for concurrent use.
type Gate struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Gate, error) {
	if cfg.Directory == nil || len(cfg.Offer) == 0 {
		return nil, errors.New("agent: Config.Directory and Offer are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Gate{cfg}, nil
}

// Identify finds out who calls and what was negotiated. What is presented and wrong is
// refused, whether or not it was asked for.
func (g *Gate) Identify(ctx context.Context, r Request) (protocol.Peer, *protocol.Fault) {
	if fault := CheckURL(r.Profile); fault != nil {
		return protocol.Peer{}, fault
	}
	who, fault := g.bearer(ctx, r)
	if fault != nil {
		return protocol.Peer{}, fault
	}
	profile, fault := g.cfg.Directory.Lookup(ctx, r.Profile)
	if fault != nil {
		return protocol.Peer{}, fault
	}
	signed := httpsig.Signed(r.Parts.Header)
	if signed {
		if profile, fault = g.verify(ctx, r, profile); fault != nil {
			return protocol.Peer{}, fault
		}
	}
	switch {
	case g.cfg.Signature && !signed:
		return protocol.Peer{}, &protocol.Fault{Code: protocol.SignatureMissing, Content: "Requests are signed here, with a key of the agent's profile."}
	case g.cfg.Authenticated && !signed && who == "":
		return protocol.Peer{}, &protocol.Fault{Code: protocol.Unauthorized, Content: "Send an API key, a token or a signature."}
	}
	version, capabilities, fault := Negotiate(g.cfg.Offer, profile)
	if fault != nil {
		return protocol.Peer{}, fault
	}
	peer := protocol.Peer{
		Principal: "profile:" + r.Profile, Profile: r.Profile, Version: version, Capabilities: capabilities, Webhook: profile.Webhook,
		Authenticated: signed || who != "",
	}
	if who != "" {
		peer.Principal = who
	}
	return peer, nil
}

// bearer finds whose key or token is presented, and that it may name the profile. No
// principal is nobody's.
func (g *Gate) bearer(ctx context.Context, r Request) (principal string, fault *protocol.Fault) {
	h := r.Parts.Header
	if keys := h.Values("X-Api-Key"); len(keys) > 0 {
		k, ok := g.key(keys[0])
		if len(keys) > 1 || !ok {
			return "", &protocol.Fault{Code: protocol.Unauthorized, Content: "The API key is not known here."}
		}
		return g.bind("key:"+k.Name, k.Profiles, r.Profile)
	}
	fields := h.Values("Authorization")
	if len(fields) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	token = strings.TrimSpace(token)
	if len(fields) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &protocol.Fault{Code: protocol.Unauthorized, Content: "Send one bearer token, or an API key."}
	}
	if k, ok := g.key(token); ok {
		return g.bind("key:"+k.Name, k.Profiles, r.Profile)
	}
	if g.cfg.Tokens == nil {
		return "", &protocol.Fault{Code: protocol.Unauthorized, Content: "The token is not known here."}
	}
	client, profiles, err := g.cfg.Tokens.Verify(ctx, token)
	switch {
	case errors.Is(err, ErrToken):
		return "", &protocol.Fault{Code: protocol.Unauthorized, Content: "The token is not good.", Err: err}
	case err != nil:
		return "", &protocol.Fault{Code: protocol.Unavailable, Content: "The token could not be looked up; try again in a moment.", RetryAfter: 2 * time.Second, Err: err}
	}
	return g.bind("client:"+client, profiles, r.Profile)
}

// key finds a key by its hash, comparing with all of them.
func (g *Gate) key(text string) (found APIKey, ok bool) {
	sum := sha256.Sum256([]byte(text))
	for _, k := range g.cfg.Keys {
		if subtle.ConstantTimeCompare(sum[:], k.Hash[:]) == 1 {
			found, ok = k, true
		}
	}
	return found, ok
}

func (*Gate) bind(principal string, profiles []string, named string) (string, *protocol.Fault) {
	if !slices.Contains(profiles, named) {
		return "", &protocol.Fault{Code: protocol.Forbidden, Content: "This key may not act for the profile that the request names."}
	}
	return principal, nil
}

// verify holds the signatures against the profile's keys. A key that is not in it may
// be a new one: then the profile is fetched again, once in a while.
func (g *Gate) verify(ctx context.Context, r Request, p Profile) (Profile, *protocol.Fault) {
	_, err := httpsig.VerifyRequest(r.Parts, r.Body, p.Keys.ByID, g.cfg.Now())
	if errors.Is(err, httpsig.ErrKeyNotFound) {
		fresh, fault := g.cfg.Directory.Refresh(ctx, r.Profile)
		if fault != nil {
			return p, fault
		}
		p = fresh
		_, err = httpsig.VerifyRequest(r.Parts, r.Body, p.Keys.ByID, g.cfg.Now())
	}
	for _, known := range []struct {
		err           error
		code, content string
	}{
		{httpsig.ErrMissing, protocol.SignatureMissing, "The request is not signed."},
		{httpsig.ErrKeyNotFound, protocol.KeyNotFound, "The signature's key is not in the agent's profile."},
		{httpsig.ErrAlgorithm, protocol.AlgorithmUnsupported, "The signature or digest is made in a way that is not known here."},
		{httpsig.ErrDigestMismatch, protocol.DigestMismatch, "The digest is of another body."},
		{httpsig.ErrInvalid, protocol.SignatureInvalid, "The signature does not hold, or does not cover what it must."},
	} {
		if errors.Is(err, known.err) {
			return p, &protocol.Fault{Code: known.code, Content: known.content, Err: err}
		}
	}
	if err != nil {
		return p, &protocol.Fault{Code: protocol.SignatureInvalid, Content: "The signature does not hold.", Err: fmt.Errorf("verify: %w", err)}
	}
	return p, nil
}

// Challenge is the WWW-Authenticate of an answer that wants a token; empty is none.
func (g *Gate) Challenge() string {
	if g.cfg.Tokens == nil || g.cfg.Issuer == "" {
		return ""
	}
	return `Bearer realm="` + g.cfg.Issuer + `"`
}

// PartsOf reads what is signed of a request that has come in.
func PartsOf(r *http.Request) httpsig.Parts {
	p := httpsig.PartsOf(r)
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") { // as it was sent
		p.Path, p.RawQuery = path, query
	}
	return p
}

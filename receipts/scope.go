package receipts

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"paywall/payment"
)

// Scope is the request, or the set of requests, that a receipt opens. Each field
// is one exact value or [Any]; an empty Digest means a request without a body.
type Scope struct {
	// Route is the id of the route.
	Route string
	// Method is the HTTP method.
	Method string
	// Target is the canonical path and query. One over 512 bytes is kept as
	// "sha-256:" and its unpadded base64url hash.
	Target string
	// Digest is the RFC 9530 value of the body.
	Digest string
}

// ScopeOf is the scope of exactly one request.
func ScopeOf(s payment.Scope) Scope {
	return Scope{Route: s.Route, Method: s.Method, Target: s.Target, Digest: s.Digest}
}

const hashedTarget = "sha-256:"

func hashTarget(target string) string {
	sum := sha256.Sum256([]byte(target))
	return hashedTarget + base64.RawURLEncoding.EncodeToString(sum[:])
}

// compact returns the scope with a long target hashed.
func (s Scope) compact() Scope {
	if len(s.Target) > maxTarget {
		s.Target = hashTarget(s.Target)
	}
	return s
}

func (s Scope) check() error {
	if !printable(s.Route, maxID) || !printable(s.Method, maxName) || !printable(s.Target, maxTarget) {
		return fmt.Errorf("scope: route, method or target: %w", ErrClaims)
	}
	if s.Digest != "" && !printable(s.Digest, maxID) {
		return fmt.Errorf("scope: digest: %w", ErrClaims)
	}
	if s.Target != Any && s.Target[0] != '/' && !strings.HasPrefix(s.Target, hashedTarget) {
		return fmt.Errorf("scope: target is not a path: %w", ErrClaims)
	}
	return nil
}

// exact reports whether the scope names one request.
func (s Scope) exact() bool {
	return s.Route != Any && s.Method != Any && s.Target != Any && s.Digest != Any
}

// covers compares with a live request. HEAD is not GET here: the caller presents
// the method that was priced.
func (s Scope) covers(live payment.Scope) bool {
	// A live request is concrete; one that claims to be a wildcard, or a hash in
	// place of a path, must not match by spelling.
	if live.Route == "" || live.Route == Any || live.Method == "" || live.Method == Any ||
		!strings.HasPrefix(live.Target, "/") || live.Digest == Any {
		return false
	}
	target := live.Target
	if strings.HasPrefix(s.Target, hashedTarget) {
		target = hashTarget(target)
	}
	return match(s.Route, live.Route) && match(s.Method, live.Method) &&
		match(s.Target, target) && match(s.Digest, live.Digest)
}

func match(allowed, got string) bool { return allowed == Any || allowed == got }

// Covers returns [ErrAudience] or [ErrScope] unless the receipt is for the live
// request: same realm, and route, method, target and body digest within its scope.
func (c Claims) Covers(live payment.Scope) error {
	if c.Audience != live.Tenant {
		return ErrAudience
	}
	if !c.Scope.covers(live) {
		return ErrScope
	}
	return nil
}

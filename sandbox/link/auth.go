package link

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Access tokens that work without a login, for LINK_ACCESS_TOKEN and for tests.
const (
	// StaticToken has the scopes of an ordinary login.
	StaticToken = "sandbox"
	// DelegatedToken may file requests that are approved already, too.
	DelegatedToken = "sandbox-delegated"
)

const (
	scopeUserinfo = "userinfo:read"
	scopePay      = "payment_methods.agentic"
	scopeApprove  = "spend_requests:approve"

	accessLife = time.Hour
)

var (
	scopes = []string{scopeUserinfo, scopePay, scopeApprove}

	// sourceActions are what authorization_details of the type "source" may grant.
	sourceActions = []string{"read_balances", "read_external_transactions", "read_link_transactions", "read_source_details"}
)

// A connection is an agent that the person let in.
type connection struct {
	id      string
	label   string
	client  string
	scopes  []string
	actions []string
	refresh string
	since   time.Time
}

type access struct {
	conn    *connection
	expires time.Time
}

func (c *connection) may(scope string) bool { return slices.Contains(c.scopes, scope) }

func (c *connection) mayRead(action string) bool { return slices.Contains(c.actions, action) }

// caller finds whose token the request bears.
func (w *Wallet) caller(r *http.Request) (*connection, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	switch token {
	case StaticToken:
		return &connection{label: "Static sandbox token", scopes: []string{scopeUserinfo, scopePay}, actions: sourceActions}, nil
	case DelegatedToken:
		return &connection{label: "Static sandbox token (delegated)", scopes: scopes, actions: sourceActions}, nil
	}
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.access[token]; ok && now.Before(a.expires) {
		return a.conn, nil
	}
	return nil, &refusal{
		status: http.StatusUnauthorized, code: "unauthorized",
		message: "The access token is missing, unknown or expired",
	}
}

type apiHandler func(rw http.ResponseWriter, r *http.Request, c *connection) error

// agent lets only callers with the scope through; an empty scope is any caller.
func (w *Wallet) agent(scope string, h apiHandler) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		c, err := w.caller(r)
		if err == nil && scope != "" && !c.may(scope) {
			err = insufficient(scope)
		}
		if err == nil {
			err = h(rw, r, c)
		}
		if err != nil {
			w.fail(rw, r, err)
		}
	}
}

func insufficient(scope string) *refusal {
	return &refusal{
		status: http.StatusForbidden, code: "insufficient_scope",
		message: "This needs a login with " + scope,
	}
}

// issue gives a connection a fresh access token. Callers hold mu.
func (w *Wallet) issue(c *connection, now time.Time) string {
	for token, a := range w.access {
		if !now.Before(a.expires) {
			delete(w.access, token)
		}
	}
	token := w.id("lwat")
	w.access[token] = access{conn: c, expires: now.Add(accessLife)}
	return token
}

// disconnect ends a connection with all its tokens and reports whether there
// was one. Callers hold mu.
func (w *Wallet) disconnect(which func(*connection) bool) bool {
	before := len(w.connections)
	for token, a := range w.access {
		if which(a.conn) {
			delete(w.access, token)
		}
	}
	w.connections = slices.DeleteFunc(w.connections, which)
	return len(w.connections) < before
}

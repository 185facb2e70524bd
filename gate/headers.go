package gate

import (
	"net/http"
	"slices"
	"strings"

	"paywall/payment"
)

// Fields that this package speaks.
const (
	paymentIDField = "Paywall-Payment-Id"
	receiptField   = "Paywall-Receipt"
	// unreachedField is set by a handler on an answer of its own when it can prove
	// that no upstream has seen the request; it goes no further than the gate.
	unreachedField = "Paywall-Unreached"
	// usedField is what a metered handler says it used, unless its route names another.
	usedField = "Paywall-Used"
)

// inbound are fields that a handler never sees: payment is settled before it,
// and what says who the client is or which resource is meant is ours to say.
var inbound = map[string]bool{
	"Payment-Authorization": true, "Payment-Signature": true, "Payment-Required": true, "Payment-Response": true,
	"Payment-Receipt": true, "Accept-Payment": true, "Sign-In-With-X": true, "Extension-Responses": true, "Settlement-Overrides": true, "Content-Digest": false,
	paymentIDField: true, receiptField: true, "Forwarded": true,
	"X-Http-Method": true, "X-Http-Method-Override": true, "X-Method-Override": true,
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "X-Real-Ip": true, "True-Client-Ip": true,
	"X-Forwarded": true, "X-Client-Ip": true, "X-Cluster-Client-Ip": true, "Cf-Connecting-Ip": true, "X-Host": true, "Expect": true,
	"Idempotency-Key": false,
}

var inboundPrefixes = []string{"X-Payment", "X-Forwarded-", "X-Original-", "X-Rewrite-", "X-Accel-", "Paywall-"}

// cleanRequest copies the request's fields without those that are between the
// payer and us. Values are shared, not copied.
func (x *exchange) cleanRequest() http.Header {
	in := x.r.Header
	out := make(http.Header, len(in)+2)
	upgrade := upgradeOf(in)
	var hop map[string]bool
	for _, line := range in["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if hop == nil {
				hop = map[string]bool{}
			}
			hop[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range in {
		if inbound[name] || hop[name] || strings.IndexByte(name, '_') >= 0 || hasPrefix(name, inboundPrefixes) ||
			strings.HasSuffix(name, "-Method-Override") {
			continue
		}
		out[name] = values
	}
	if x.ours(in) {
		delete(out, "Authorization")
	}
	if upgrade != "" {
		out["Connection"], out["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	} else {
		delete(out, "Upgrade")
	}
	return out
}

// ours reports whether Authorization holds a payment or a receipt; the
// upstream's own credentials pass.
func (x *exchange) ours(h http.Header) bool {
	if len(h["Authorization"]) == 0 {
		return false
	}
	// Line by line: one of ours among others is no less a secret.
	for _, line := range h["Authorization"] {
		one := http.Header{"Authorization": {line}}
		for _, p := range x.g.cfg.Protocols {
			if p.Presents(one) {
				return true
			}
		}
		if x.g.cfg.Receipts != nil {
			if _, ok := x.g.cfg.Receipts.Bearer(one); ok {
				return true
			}
		}
	}
	return false
}

func upgradeOf(h http.Header) string {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(name), "upgrade") && len(h["Upgrade"]) == 1 {
				return h["Upgrade"][0]
			}
		}
	}
	return ""
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// outbound are fields that only we, or nobody, may send to a payer.
var outbound = map[string]bool{
	"Payment-Receipt": true, "Payment-Response": true, "Payment-Required": true, "X-Payment-Response": true,
	"Settlement-Overrides": true, "Extension-Responses": true, usedField: true, paymentIDField: true, receiptField: true, creditField: true, unreachedField: true,
	"Surrogate-Control": true, "Cdn-Cache-Control": true, "Cloudflare-Cdn-Cache-Control": true,
	"X-Accel-Redirect": true, "X-Accel-Buffering": true, "X-Accel-Charset": true, "X-Accel-Expires": true,
	"X-Accel-Limit-Rate": true,
}

// clean takes out of what a handler says what only we may say, and what it says
// to us alone.
func (x *exchange) clean(h http.Header) {
	cleanResponse(h, x.g.cfg.Protocols)
	if x.route.Meter.Header != "" {
		delete(h, x.route.Meter.Header)
	}
}

// cleanResponse takes payment headers out of what a handler says.
func cleanResponse(h http.Header, protocols []payment.Protocol) {
	for name := range h { // a few, where the list is long
		if outbound[name] {
			delete(h, name)
		}
	}
	undeclare(h)
	if lines, ok := h["Www-Authenticate"]; ok && len(protocols) > 0 {
		var keep []string
		for _, line := range lines {
			// One line may hold several challenges; one that names the scheme anywhere
			// outside our control goes altogether.
			if !strings.Contains(strings.ToLower(line), "payment") {
				keep = append(keep, line)
			}
		}
		if len(keep) == 0 {
			delete(h, "Www-Authenticate")
		} else {
			h["Www-Authenticate"] = keep
		}
	}
}

// dropTrailers takes payment fields out of what a handler adds behind its answer.
func dropTrailers(h http.Header) {
	for field := range h {
		if name, ok := strings.CutPrefix(field, http.TrailerPrefix); ok && (outbound[name] || name == "Www-Authenticate") {
			delete(h, field)
		}
	}
}

// undeclare takes the same fields out of what it says will come.
func undeclare(h http.Header) {
	lines, ok := h["Trailer"]
	if !ok {
		return
	}
	var keep []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name != "" && name != "Www-Authenticate" && !outbound[name] {
				keep = append(keep, name)
			}
		}
	}
	delete(h, "Trailer")
	if len(keep) > 0 {
		h["Trailer"] = keep
	}
}

// setPrivate keeps a paid answer with its payer.
func setPrivate(h http.Header) {
	h["Cache-Control"] = []string{"private, no-store"}
	delete(h, "Expires")
	h.Add("Vary", "Authorization, Payment-Authorization, Payment-Signature, X-Payment, Sign-In-With-X")
}

// Lists for browsers; no credentials, so any origin may ask.
const (
	exposed = "WWW-Authenticate, Payment-Receipt, Paywall-Receipt, Paywall-Payment-Id, Paywall-Credit, Retry-After, " +
		"PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Link"
	// The last is a field of answers, but clients of x402 send it with their payment.
	allowed = "Authorization, Payment-Authorization, Accept-Payment, Idempotency-Key, Content-Type, Content-Digest, " +
		"PAYMENT-SIGNATURE, X-PAYMENT, SIGN-IN-WITH-X, Access-Control-Expose-Headers"
)

// expose lets scripts of other origins read our fields, beside what the
// handler lets them read.
func (x *exchange) expose(h http.Header) {
	if len(x.r.Header["Origin"]) == 0 {
		return
	}
	if h.Get("Access-Control-Allow-Origin") == "" {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if h.Get("Access-Control-Allow-Origin") == "*" {
		delete(h, "Access-Control-Allow-Credentials")
	}
	h.Add("Access-Control-Expose-Headers", exposed)
}

// options answers in place of the resource: a preflight is never priced and
// never reaches it.
func (x *exchange) options(r *Router) {
	methods := patternMethods
	if x.c.Path != "*" {
		if methods = r.methodsOf(x.c.Path); len(methods) == 0 {
			x.unmatched(r)
			return
		}
	}
	x.allow(methods)
}

func (x *exchange) allow(methods []string) {
	h := x.w.Header()
	list := strings.Join(methods, ", ")
	h.Set("Allow", list+", OPTIONS")
	if len(x.r.Header["Origin"]) > 0 && len(x.r.Header["Access-Control-Request-Method"]) > 0 {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", list)
		h.Set("Access-Control-Allow-Headers", allowedHeaders(x.r.Header.Get("Access-Control-Request-Headers")))
		h.Set("Access-Control-Max-Age", "600")
	}
	x.ev.Outcome, x.ev.Status = OutcomeFree, http.StatusNoContent
	x.w.WriteHeader(http.StatusNoContent)
}

// allowedHeaders is our list and what the page asks for, as far as it is field
// names: "*" does not cover Authorization.
func allowedHeaders(asked string) string {
	if len(asked) > 1024 {
		return allowed
	}
	list := strings.Split(allowed, ", ")
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.TrimSpace(name)
		if name == "" || !token(name) || slices.ContainsFunc(list, func(have string) bool { return strings.EqualFold(have, name) }) {
			continue
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

func token(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

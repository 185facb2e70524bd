package gate

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"strings"

	"paywall/payment"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// The page runs nothing and loads nothing; its one style is named by its hash.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// wantsPage reports whether a person's browser asks: it prefers HTML to JSON.
func wantsPage(r *http.Request) bool {
	if !safe(r.Method) {
		return false
	}
	for _, line := range r.Header["Accept"] {
		html := strings.Index(line, "text/html")
		json := strings.Index(line, "json")
		if html >= 0 && (json < 0 || html < json) {
			return true
		}
	}
	return false
}

// markup is HTML. What is not a constant of ours becomes it by [text] alone.
type markup string

// text is s as it stands between tags.
func text(s string) markup { return markup(html.EscapeString(s)) }

// page shows a person what the resource costs and how an agent pays for it.
func (x *exchange) page(pe *payment.Error) {
	t := x.terms
	heading := text(t.quote.Description)
	if heading == "" {
		heading = "This resource is paid per request"
	}
	var ways markup
	for i, o := range t.offers {
		word := markup(" or ")
		if i == 0 {
			word = " by "
		}
		ways += word + "<code>" + text(o.Method) + "</code>"
		if o.Network != "" {
			ways += " (" + text(o.Amount.String()) + " on <code>" + text(o.Network) + "</code>)"
		}
	}
	// What the header of this very answer says is what it tells of.
	where, clients := markup(" (402, "), markup("")
	for _, one := range [...]struct{ field, shown, client markup }{
		{"Www-Authenticate", "WWW-Authenticate: Payment", "any client of the Payment scheme"},
		{"Payment-Required", "PAYMENT-REQUIRED", "any client of x402"},
	} {
		if len(x.w.Header()[string(one.field)]) == 0 {
			continue
		}
		if clients != "" {
			where, clients = where+" or ", clients+" or "
		}
		where, clients = where+"<code>"+one.shown+"</code>", clients+one.client
	}
	var note markup
	if pe.Kind != payment.KindPaymentRequired && pe.Detail != "" {
		note = `<p class="note">` + text(pe.Detail) + "</p>"
	}
	sold := markup("without an account")
	if t.draw != nil {
		sold = "drawn from credit, which one payment of " + text(t.offers[0].Quote.Amount.String()) + " buys"
	}
	body := fill(map[string]markup{
		"sold":  sold,
		"price": text(t.quote.Amount.String()), "heading": heading, "realm": text(x.g.cfg.Realm),
		"method": text(x.c.Method), "target": text(x.c.Target()), "ways": ways, "note": note,
		"where": where + ")", "clients": clients,
		// It stands in quotes in a line for people to copy, and must not end them.
		"url": text(strings.ReplaceAll(x.origin()+x.c.Target(), "'", "%27")),
	})
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	x.w.WriteHeader(http.StatusPaymentRequired)
	if x.c.Method != http.MethodHead {
		_, _ = io.WriteString(x.w, body)
	}
}

// fill puts values in the places of the page that have their names. The template
// package of the library would do; but it looks methods up by name, and with that
// the linker keeps those of every type of the program, megabytes of them.
func fill(values map[string]markup) string {
	pairs := []string{"{{style}}", pageStyle}
	for name, value := range values {
		pairs = append(pairs, "{{"+name+"}}", string(value))
	}
	// One pass: what looks like a place within a value is none.
	return strings.NewReplacer(pairs...).Replace(pageText)
}

// origin is the configured public origin for people to copy; loopback hosts are plain.
func (x *exchange) origin() string {
	if x.g.cfg.Origin != "" {
		return x.g.cfg.Origin
	}
	if x.g.local {
		return "http://" + x.r.Host
	}
	return "https://" + x.g.cfg.Realm
}

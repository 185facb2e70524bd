package gate

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"paywall/payment"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var (
	pageTemplate = template.Must(template.New("402").Parse(pageText))
	// The page runs nothing and loads nothing; its one style is named by its hash.
	pagePolicy = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

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

// page shows a person what the resource costs and how an agent pays for it.
func (x *exchange) page(pe *payment.Error) {
	t := x.terms
	var methods []string
	for _, o := range t.offers {
		methods = append(methods, o.Method)
	}
	detail := ""
	if pe.Kind != payment.KindPaymentRequired {
		detail = pe.Detail
	}
	var buf bytes.Buffer
	err := pageTemplate.Execute(&buf, map[string]any{
		"Style": template.CSS(pageStyle), //nolint:gosec // our own file, named by its hash in the policy
		"Price": t.quote.Amount.String(), "Description": t.quote.Description, "Realm": x.g.cfg.Realm,
		"Method": x.c.Method, "Target": x.c.Target(), "Ways": methods, "Detail": detail,
		// It stands in quotes in a line for people to copy, and must not end them.
		"URL": strings.ReplaceAll(x.origin()+x.c.Target(), "'", "%27"),
	})
	status := problems[pe.Kind].status
	x.ev.Status = status
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	x.w.WriteHeader(status)
	if err != nil || x.c.Method == http.MethodHead {
		x.ev.Err = err
		return
	}
	_, _ = x.w.Write(buf.Bytes())
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

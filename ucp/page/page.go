// Package page is what a person sees of a shop that agents buy from: a checkout on
// its way (continue_url) and an order (permalink_url). The pages run nothing and load
// nothing, and fit a phone.
package page

import (
	"context"
	"crypto/sha256"
	_ "embed" // the style
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"paywall/checkout"
)

//go:embed page.css
var style string

var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}()

// Config is what the pages are made from. Session and Order are required; both
// return [checkout.ErrNotFound], or a *[checkout.Error] of that kind.
type Config struct {
	// Base is the path that the pages lie under, as /shop.
	Base string
	// Origin is the public origin; forms are taken from nowhere else.
	Origin string
	// Shop is the shop's name.
	Shop    string
	Session func(ctx context.Context, id string) (checkout.Session, error)
	Order   func(ctx context.Context, id string) (checkout.Order, error)
	// Receipts are what an order has bought access to; nil is nothing.
	Receipts func(ctx context.Context, o checkout.Order) []Receipt
	// Pay completes a checkout with play money; nil where money is real.
	Pay    func(ctx context.Context, id string) error
	Links  func() []checkout.Link
	Now    func() time.Time
	Logger *slog.Logger
}

// Receipt opens a priced route.
type Receipt struct {
	// Line is the id of the line it was bought with, Title that of its item.
	Line  string `json:"line_item_id"`
	Title string `json:"title"`
	// Opens is the URL it opens, Token the receipt.
	Opens   string    `json:"opens"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// Handler serves the pages.
type Handler struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Handler, error) {
	if cfg.Session == nil || cfg.Order == nil {
		return nil, errors.New("page: Config.Session and Order are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg}, nil
}

// Checkout is the path of a checkout's page.
func (h *Handler) Checkout(id string) string { return h.cfg.Base + "/checkout/" + url.PathEscape(id) }

// Order is the path of an order's page.
func (h *Handler) Order(id string) string { return h.cfg.Base + "/orders/" + url.PathEscape(id) }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, h.cfg.Base+"/")
	kind, rest, _ := strings.Cut(rest, "/")
	id, action, acts := strings.Cut(rest, "/")
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !ok || id == "" || len(id) > 128:
		h.nothing(w, r)
	case kind == "checkout" && !acts && read:
		h.checkout(w, r, id, "")
	case kind == "checkout" && acts && action == "pay" && h.cfg.Pay != nil && r.Method == http.MethodPost:
		h.pay(w, r, id)
	case kind == "orders" && !acts && read:
		h.order(w, r, id)
	case kind != "checkout" && kind != "orders" || acts && (action != "pay" || h.cfg.Pay == nil):
		h.nothing(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD")
		h.write(w, r, http.StatusMethodNotAllowed, "Not possible", 0, `<h1>Not possible</h1><p>This page can only be read.</p>`)
	}
}

// pay takes the form of a checkout's own page, and of no other.
func (h *Handler) pay(w http.ResponseWriter, r *http.Request, id string) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" || site == "" && r.Header.Get("Origin") != h.cfg.Origin {
		h.write(w, r, http.StatusForbidden, "Not possible", 0, `<h1>Not possible</h1><p>Pay from the checkout's own page.</p>`)
		return
	}
	err := h.cfg.Pay(r.Context(), id)
	switch e, refused := errors.AsType[*checkout.Error](err); {
	case err == nil, refused && e.Kind == checkout.KindState:
		// Read it again, so that a reload pays nothing twice.
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, h.Checkout(id), http.StatusSeeOther) //nolint:gosec // a path of our own
	case missing(err):
		h.nothing(w, r)
	case refused && len(e.Messages) > 0:
		h.checkout(w, r, id, e.Messages[0].Content)
	default:
		h.cfg.Logger.WarnContext(r.Context(), "checkout not paid from its page", "err", err)
		h.checkout(w, r, id, "It could not be paid at the moment. Nothing was charged; try again in a minute.")
	}
}

func missing(err error) bool {
	e, ok := errors.AsType[*checkout.Error](err)
	return errors.Is(err, checkout.ErrNotFound) || ok && e.Kind == checkout.KindNotFound
}

func (h *Handler) nothing(w http.ResponseWriter, r *http.Request) {
	h.write(w, r, http.StatusNotFound, "Nothing is here", 0, `<h1>Nothing is here</h1><p>The checkout or order does not exist, or it has ended. Ask the agent that sent you.</p>`)
}

func (h *Handler) fault(w http.ResponseWriter, r *http.Request, err error) {
	h.cfg.Logger.ErrorContext(r.Context(), "page not shown", "err", err)
	w.Header().Set("Retry-After", "5")
	h.write(w, r, http.StatusServiceUnavailable, "Come back in a moment", 0, `<h1>Come back in a moment</h1><p>This could not be read just now. Nothing was charged.</p>`)
}

// write writes a page. After refresh seconds it is read again; zero is never.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, status int, title string, refresh int, body markup) {
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	head.Set("Vary", "Accept")
	if refresh > 0 {
		head.Set("Refresh", strconv.Itoa(refresh))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	whole := `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>` + text(title) + `</title>
<style>` + markup(style) + `</style>
</head>
<body>
<main>
` + body + `
</main>
</body>
</html>
`
	_, _ = io.WriteString(w, string(whole)) //nolint:gosec // markup is escaped where it is made
}

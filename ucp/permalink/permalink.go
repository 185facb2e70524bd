// Package permalink turns a link into a checkout: whoever opens it in a browser lands
// on the page of what the link names (capability dev.ucp.shopping.permalink). It never
// buys anything.
package permalink

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"paywall/checkout"
)

// Config is what a [Handler] is made of. All but Allow and Logger are required.
type Config struct {
	// Base is the path that links lie under, as /shop/buy.
	Base string
	// Create makes a checkout for a person, and returns the path of its page.
	Create func(ctx context.Context, d checkout.Desired) (page string, err error)
	// Fallback is the path that a person is sent to when a link makes no sense.
	Fallback string
	// Allow bounds how many checkouts are made this way.
	Allow  func(r *http.Request) bool
	Logger *slog.Logger
}

// Handler resolves permalinks.
type Handler struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Handler, error) {
	if cfg.Base == "" || cfg.Create == nil || cfg.Fallback == "" {
		return nil, errors.New("permalink: Config.Base, Create and Fallback are required")
	}
	if cfg.Allow == nil {
		cfg.Allow = func(*http.Request) bool { return true }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	items, ok := strings.CutPrefix(r.URL.Path, h.cfg.Base+"/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	d, err := Parse(items, r.URL.RawQuery)
	if err != nil {
		h.send(w, h.cfg.Fallback)
		return
	}
	if !h.cfg.Allow(r) {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "Too many links were opened from here. Come back in a minute.", http.StatusTooManyRequests)
		return
	}
	to, err := h.cfg.Create(r.Context(), d.Desired)
	if err != nil {
		h.cfg.Logger.InfoContext(r.Context(), "permalink not resolved", "err", err)
		h.send(w, h.cfg.Fallback)
		return
	}
	if d.ContinueTo != "" {
		to = d.ContinueTo
	}
	h.send(w, to)
}

// send leads to a path of our own, once.
func (*Handler) send(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// Link is what a permalink says.
type Link struct {
	Desired checkout.Desired
	// ContinueTo is a path on this server that the person is sent to instead.
	ContinueTo string
}

// ErrLink says that a link has not the form of one.
var ErrLink = errors.New("not a permalink")

var (
	pair = regexp.MustCompile(`^([A-Za-z0-9._-]+|~[A-Za-z0-9_-]+):([1-9][0-9]{0,15})$`)
	code = regexp.MustCompile(`^/?discounts/codes/(0|[1-9][0-9]?)$`)
)

const (
	maxItems  = 100
	maxLength = 8 << 10
	maxField  = 200
)

// Parse reads the compact items and the query of a link. Fields that are not known
// are left out, as the protocol wants; those that would decide about money do not exist.
func Parse(items, query string) (Link, error) {
	var l Link
	if len(items)+len(query) > maxLength {
		return l, ErrLink
	}
	for part := range strings.SplitSeq(items, ",") {
		if items == "" {
			break
		}
		m := pair.FindStringSubmatch(part)
		if m == nil || len(l.Desired.Lines) == maxItems {
			return Link{}, ErrLink
		}
		id, err := decoded(m[1])
		if err != nil {
			return Link{}, err
		}
		n, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil || n > checkout.MaxUnits {
			return Link{}, ErrLink
		}
		l.Desired.Lines = append(l.Desired.Lines, checkout.WantedLine{Variant: id, Quantity: n})
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Link{}, ErrLink
	}
	codes := map[int]string{}
	for name, all := range values {
		if len(all) != 1 || len(all[0]) > maxField || !utf8.ValidString(all[0]) {
			return Link{}, ErrLink
		}
		v := all[0]
		if m := code.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits, by the pattern
			codes[n] = v
			continue
		}
		switch strings.TrimPrefix(name, "/") {
		case "continue_to":
			if l.ContinueTo, err = local(v); err != nil {
				return Link{}, err
			}
		case "buyer/email":
			l.Desired.Buyer.Email = v
		case "context/address_country":
			l.Desired.Context.Country = v
		case "context/address_region":
			l.Desired.Context.Region = v
		case "context/postal_code":
			l.Desired.Context.Postal = v
		}
	}
	var order []int
	for n := range codes {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		l.Desired.Codes = append(l.Desired.Codes, codes[n])
	}
	return l, nil
}

func decoded(token string) (string, error) {
	encoded, ok := strings.CutPrefix(token, "~")
	if !ok {
		return token, nil
	}
	id, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || !utf8.Valid(id) || len(id) == 0 {
		return "", ErrLink
	}
	return string(id), nil
}

// local takes a path on this server and nothing that a browser would read as another
// place.
func local(to string) (string, error) {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r > '~' }) {
		return "", ErrLink
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") || strings.Contains(u.Path, "\\") {
		return "", ErrLink
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == ".." || segment == "." {
			return "", ErrLink
		}
	}
	return u.String(), nil
}

package link

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"
)

//go:embed web/*.html
var web embed.FS

func parsePages() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"price": price,
		"short": short,
		"date":  func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") },
		"iso":   timestamp,
		"words": func(s Status) string { return statusWords[s] },
		"times": func(n *int64, unit int64) int64 { return orElse(value(n), 1) * unit },
		"deref": value,
	}).ParseFS(web, "web/*.html")
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// statusWords say to the person what a status means for them.
var statusWords = map[Status]string{
	Created: "Being prepared", PendingApproval: "Waiting for you", Approved: "Approved, not spent yet", Denied: "Denied",
	Expired: "Expired", Canceled: "Canceled", Succeeded: "Paid", Failed: "Declined", RequiresAction: "Needs attention",
}

// page is what every template gets.
type page struct {
	Title   string
	Nav     string // which entry of the navigation is current
	Nonce   string
	Live    bool   // looks for news by itself
	Version string // changes when a live page has news
	Now     time.Time
	Data    any
}

// card is one request on a page.
type card struct {
	Request
	Left    string // until it expires, in words
	Token   string // for the form that decides
	Full    bool   // on a page of its own
	Waiting bool
	Revoke  bool // approved, and can be taken back
}

func (w *Wallet) card(v Request, now time.Time, full bool) card {
	return card{
		Request: v, Left: left(v.ExpiresAt.Sub(now)), Token: w.seenToken(v), Full: full,
		Waiting: v.Status == PendingApproval, Revoke: v.Status == Approved,
	}
}

// seenToken binds a decision to the request as it was on the page.
func (w *Wallet) seenToken(v Request) string {
	return w.formToken("request", v.ID, string(v.Status), strconv.FormatInt(v.UpdatedAt.UnixNano(), 10))
}

func left(d time.Duration) string {
	switch minutes := int((d + time.Minute - 1) / time.Minute); {
	case d <= 0:
		return ""
	case minutes == 1:
		return "less than a minute"
	case minutes < 120:
		return strconv.Itoa(minutes) + " minutes"
	default:
		return strconv.Itoa(minutes/60) + " hours"
	}
}

func (w *Wallet) routePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/wallet", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /wallet", w.person(w.pageWallet))
	mux.HandleFunc("GET /wallet/purchases", w.person(w.pagePurchases))
	mux.HandleFunc("GET /wallet/agents", w.person(w.pageAgents))
	mux.HandleFunc("GET /wallet/requests/{id}", w.person(w.pageRequest))
	mux.HandleFunc("POST /wallet/requests/{id}/approve", w.person(w.decideRequest(w.approveAsPerson)))
	mux.HandleFunc("POST /wallet/requests/{id}/deny", w.person(w.decideRequest(w.denyAsPerson)))
	mux.HandleFunc("POST /wallet/requests/{id}/cancel", w.person(w.decideRequest(w.cancelAsPerson)))
	mux.HandleFunc("POST /wallet/agents/{id}/disconnect", w.person(w.disconnectAgent))
	mux.HandleFunc("GET /device", w.person(w.pageDevice))
	mux.HandleFunc("POST /device", w.person(w.decideDevicePage))
}

// person guards everything the wallet's owner sees and does: the request must be
// meant for this host and, when it changes something, come from our own pages.
func (w *Wallet) person(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		switch {
		case !w.knownHost(r):
			w.message(rw, r, http.StatusMisdirectedRequest, "Not here", "This wallet does not answer under that host name.")
		case w.cross.Check(r) != nil:
			w.message(rw, r, http.StatusForbidden, "Not from here", "Another site sent this. Nothing was changed.")
		default:
			h(rw, r)
		}
	}
}

// render writes a page. It is rendered in full first, so that an error is not
// half a page.
func (w *Wallet) render(rw http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Nonce, p.Now = rand.Text(), w.now().UTC()
	var b bytes.Buffer
	if err := w.pages.ExecuteTemplate(&b, name, p); err != nil {
		w.log.ErrorContext(r.Context(), "wallet page not rendered", "page", name, "err", err)
		http.Error(rw, "The page could not be shown.", http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+"'; script-src 'nonce-"+p.Nonce+
		"'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: with it browsers send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_, _ = rw.Write(b.Bytes()) // a browser that left has no use for the error
}

func (w *Wallet) message(rw http.ResponseWriter, r *http.Request, status int, title, text string) {
	w.render(rw, r, status, "message.html", page{Title: title, Data: text})
}

type walletPage struct {
	Pending []card
	Recent  []card
	Meters  []meter
	Auto    int64
}

// meter is a limit and what of it is used, with the share in percent.
type meter struct {
	Name        string
	Used, Limit int64
	Percent     int64
}

func newMeter(name string, u wireUsage) meter {
	return meter{Name: name, Used: u.Used, Limit: u.Limit, Percent: min(100, u.Used*100/max(1, u.Limit))}
}

func (w *Wallet) pageWallet(rw http.ResponseWriter, r *http.Request) {
	all := w.list(r.Context(), func(sr *spendRequest) bool { return sr.status != Created })
	now := w.now()
	w.mu.Lock()
	limits := w.spending(now)
	w.mu.Unlock()
	data := walletPage{
		Meters: []meter{newMeter("Last 24 hours", limits.Daily), newMeter("Last 30 days", limits.ThirtyDay)}, Auto: w.cfg.AutoApprove,
	}
	var version []string
	for _, v := range all {
		if v.Status == PendingApproval {
			data.Pending = append(data.Pending, w.card(v, now, false))
		}
	}
	for _, v := range slices.Backward(all) {
		if v.Status != PendingApproval && len(data.Recent) < 5 {
			data.Recent = append(data.Recent, w.card(v, now, false))
		}
	}
	for _, c := range append(slices.Clone(data.Pending), data.Recent...) {
		version = append(version, c.ID, string(c.Status), c.Left)
	}
	title := "Requests"
	if n := len(data.Pending); n > 0 {
		title = fmt.Sprintf("(%d) Requests", n)
	}
	w.render(rw, r, http.StatusOK, "wallet.html", page{
		Title: title, Nav: "wallet", Live: true, Version: w.formToken(version...), Data: data,
	})
}

func (w *Wallet) pagePurchases(rw http.ResponseWriter, r *http.Request) {
	var cards []card
	now := w.now()
	for _, v := range slices.Backward(w.list(r.Context(), func(sr *spendRequest) bool { return sr.status != Created })) {
		cards = append(cards, w.card(v, now, false))
	}
	w.render(rw, r, http.StatusOK, "purchases.html", page{Title: "Purchases", Nav: "purchases", Data: cards})
}

func (w *Wallet) pageRequest(rw http.ResponseWriter, r *http.Request) {
	w.refresh(r.Context())
	v, ok := w.look(r.PathValue("id"))
	if !ok {
		w.message(rw, r, http.StatusNotFound, "No such request", "The wallet has no request with this number.")
		return
	}
	c := w.card(v, w.now(), true)
	w.render(rw, r, http.StatusOK, "request.html", page{
		Title: price(v.Amount, v.Currency), Nav: "wallet", Live: v.Status.active(),
		Version: w.formToken(c.Token, c.Left, strconv.Itoa(len(v.Reports))), Data: c,
	})
}

func (w *Wallet) approveAsPerson(r *http.Request) error {
	return w.approve(r.Context(), r.PathValue("id"), byPerson)
}

func (w *Wallet) denyAsPerson(r *http.Request) error {
	return w.deny(r.Context(), r.PathValue("id"), byPerson)
}

func (w *Wallet) cancelAsPerson(r *http.Request) error {
	_, err := w.cancel(r.Context(), r.PathValue("id"))
	return err
}

// decideRequest carries out what the person clicked, if the form is one that we
// made for the request as it is now.
func (w *Wallet) decideRequest(decide func(*http.Request) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		w.refresh(r.Context())
		v, ok := w.look(r.PathValue("id"))
		if !ok {
			w.message(rw, r, http.StatusNotFound, "No such request", "The wallet has no request with this number.")
			return
		}
		if !w.formTokenGood(r.PostFormValue("token"), "request", v.ID, string(v.Status), strconv.FormatInt(v.UpdatedAt.UnixNano(), 10)) {
			w.render(rw, r, http.StatusConflict, "stale.html", page{Title: "Look again", Data: w.card(v, w.now(), true)})
			return
		}
		err := decide(r)
		if ref, isRefusal := errors.AsType[*refusal](err); isRefusal {
			w.message(rw, r, ref.status, "Not done", ref.message+".")
			return
		}
		if err != nil {
			w.log.ErrorContext(r.Context(), "decision not carried out", "id", v.ID, "err", err)
			w.message(rw, r, http.StatusBadGateway, "Not done", "The sandbox processor did not grant a token. The request still waits.")
			return
		}
		http.Redirect(rw, r, "/wallet/requests/"+v.ID, http.StatusSeeOther)
	}
}

type agentRow struct {
	ID, Label, Token string
	Scopes           []string
	Since            time.Time
}

// scopeWords say what a login allows.
var scopeWords = map[string]string{
	scopeUserinfo: "See your name and your limits",
	scopePay:      "Ask you to pay, and see your payment methods",
	scopeApprove:  "File purchases that you approved elsewhere, without asking you here",

	"read_balances":              "See balances",
	"read_external_transactions": "See transactions of connected accounts",
	"read_link_transactions":     "See your purchases with Link",
	"read_source_details":        "See details of your accounts",
}

func inWords(scopes, actions []string) []string {
	var out []string
	for _, s := range append(slices.Clone(scopes), actions...) {
		out = append(out, orElse(scopeWords[s], s))
	}
	return out
}

func (w *Wallet) pageAgents(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	var rows []agentRow
	for _, c := range w.connections {
		rows = append(rows, agentRow{
			ID: c.id, Label: c.label, Token: w.formToken("agent", c.id), Scopes: inWords(c.scopes, c.actions), Since: c.since,
		})
	}
	w.mu.Unlock()
	w.render(rw, r, http.StatusOK, "agents.html", page{Title: "Agents", Nav: "agents", Data: rows})
}

func (w *Wallet) disconnectAgent(rw http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !w.formTokenGood(r.PostFormValue("token"), "agent", id) {
		w.message(rw, r, http.StatusConflict, "Look again", "This form is out of date. Nothing was changed.")
		return
	}
	w.mu.Lock()
	ok := w.disconnect(func(c *connection) bool { return c.id == id })
	w.mu.Unlock()
	if !ok {
		w.message(rw, r, http.StatusNotFound, "No such agent", "This agent is not connected any more.")
		return
	}
	http.Redirect(rw, r, "/wallet/agents", http.StatusSeeOther)
}

type devicePage struct {
	UserCode, Token, Label string
	Scopes                 []string
	Unknown                bool // a code was given that waits for nothing
}

func (w *Wallet) pageDevice(rw http.ResponseWriter, r *http.Request) {
	given := r.URL.Query().Get("user_code")
	data := devicePage{UserCode: readUserCode(given)}
	w.mu.Lock()
	if d := w.waitingDevice(data.UserCode); d != nil {
		data.Label, data.Scopes = d.label, inWords(d.scopes, d.actions)
		data.Token = w.formToken("device", d.userCode)
	}
	w.mu.Unlock()
	data.Unknown = given != "" && data.Token == ""
	status := http.StatusOK
	if data.Unknown {
		status = http.StatusNotFound
	}
	w.render(rw, r, status, "device.html", page{Title: "Connect an agent", Nav: "agents", Data: data})
}

func (w *Wallet) decideDevicePage(rw http.ResponseWriter, r *http.Request) {
	code, decision := readUserCode(r.PostFormValue("user_code")), r.PostFormValue("decision")
	if !w.formTokenGood(r.PostFormValue("token"), "device", code) || (decision != "allow" && decision != "deny") {
		w.message(rw, r, http.StatusConflict, "Look again", "This form is out of date. Nothing was changed.")
		return
	}
	switch allow := decision == "allow"; {
	case !w.decideDevice(code, allow):
		w.message(rw, r, http.StatusNotFound, "Too late", "This code has expired or was used. Have the agent start again.")
	case allow:
		w.message(rw, r, http.StatusOK, "Connected", "You can close this page. The agent goes on by itself within a few seconds.")
	default:
		w.message(rw, r, http.StatusOK, "Not connected", "The agent was refused. You can close this page.")
	}
}

package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

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
			w.message(rw, http.StatusMisdirectedRequest, "Not here", "This wallet does not answer under that host name.")
		case w.cross.Check(r) != nil:
			w.message(rw, http.StatusForbidden, "Not from here", "Another site sent this. Nothing was changed.")
		default:
			h(rw, r)
		}
	}
}

// render writes a page.
func (w *Wallet) render(rw http.ResponseWriter, status int, p page, contents func(*paper)) {
	p.Nonce = rand.Text()
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
	_, _ = io.WriteString(rw, p.html(contents)) // a browser that left has no use for the error
}

func (w *Wallet) message(rw http.ResponseWriter, status int, title, text string) {
	w.render(rw, status, page{Title: title}, func(p *paper) { showMessage(p, title, text) })
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
	w.render(rw, http.StatusOK, page{Title: title, Nav: "wallet", Live: true, Version: w.formToken(version...)}, data.show)
}

func (w *Wallet) pagePurchases(rw http.ResponseWriter, r *http.Request) {
	var cards []card
	now := w.now()
	for _, v := range slices.Backward(w.list(r.Context(), func(sr *spendRequest) bool { return sr.status != Created })) {
		cards = append(cards, w.card(v, now, false))
	}
	w.render(rw, http.StatusOK, page{Title: "Purchases", Nav: "purchases"}, func(p *paper) { showPurchases(p, cards) })
}

func (w *Wallet) pageRequest(rw http.ResponseWriter, r *http.Request) {
	w.refresh(r.Context())
	v, ok := w.look(r.PathValue("id"))
	if !ok {
		w.message(rw, http.StatusNotFound, "No such request", "The wallet has no request with this number.")
		return
	}
	c := w.card(v, w.now(), true)
	w.render(rw, http.StatusOK, page{
		Title: price(v.Amount, v.Currency), Nav: "wallet", Live: v.Status.active(),
		Version: w.formToken(c.Token, c.Left, strconv.Itoa(len(v.Reports))),
	}, func(p *paper) { showRequest(p, c) })
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
			w.message(rw, http.StatusNotFound, "No such request", "The wallet has no request with this number.")
			return
		}
		if !w.formTokenGood(r.PostFormValue("token"), "request", v.ID, string(v.Status), strconv.FormatInt(v.UpdatedAt.UnixNano(), 10)) {
			c := w.card(v, w.now(), true)
			w.render(rw, http.StatusConflict, page{Title: "Look again"}, func(p *paper) { showStale(p, c) })
			return
		}
		err := decide(r)
		if ref, isRefusal := errors.AsType[*refusal](err); isRefusal {
			w.message(rw, ref.status, "Not done", ref.message+".")
			return
		}
		if err != nil {
			w.log.ErrorContext(r.Context(), "decision not carried out", "id", v.ID, "err", err)
			w.message(rw, http.StatusBadGateway, "Not done", "The sandbox processor did not grant a token. The request still waits.")
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
	w.render(rw, http.StatusOK, page{Title: "Agents", Nav: "agents"}, func(p *paper) { showAgents(p, rows) })
}

func (w *Wallet) disconnectAgent(rw http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !w.formTokenGood(r.PostFormValue("token"), "agent", id) {
		w.message(rw, http.StatusConflict, "Look again", "This form is out of date. Nothing was changed.")
		return
	}
	w.mu.Lock()
	ok := w.disconnect(func(c *connection) bool { return c.id == id })
	w.mu.Unlock()
	if !ok {
		w.message(rw, http.StatusNotFound, "No such agent", "This agent is not connected any more.")
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
	w.render(rw, status, page{Title: "Connect an agent", Nav: "agents"}, data.show)
}

func (w *Wallet) decideDevicePage(rw http.ResponseWriter, r *http.Request) {
	code, decision := readUserCode(r.PostFormValue("user_code")), r.PostFormValue("decision")
	if !w.formTokenGood(r.PostFormValue("token"), "device", code) || (decision != "allow" && decision != "deny") {
		w.message(rw, http.StatusConflict, "Look again", "This form is out of date. Nothing was changed.")
		return
	}
	switch allow := decision == "allow"; {
	case !w.decideDevice(code, allow):
		w.message(rw, http.StatusNotFound, "Too late", "This code has expired or was used. Have the agent start again.")
	case allow:
		w.message(rw, http.StatusOK, "Connected", "You can close this page. The agent goes on by itself within a few seconds.")
	default:
		w.message(rw, http.StatusOK, "Not connected", "The agent was refused. You can close this page.")
	}
}

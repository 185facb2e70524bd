package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"paywall/methods/credit"
	"paywall/payment"
)

type accountView struct {
	Account string `json:"account"`
	Bought  string `json:"bought"`
	Spent   string `json:"spent"`
	Left    string `json:"left"`
	Frozen  bool   `json:"frozen,omitempty"`
	Opened  string `json:"opened"`
	Ends    string `json:"ends"`
}

func (o *operator) viewOfAccount(a credit.Account) accountView {
	v := accountView{
		Account: a.ID, Bought: a.Bought.String(), Spent: a.Spent.String(), Frozen: a.Frozen,
		Opened: a.Opened.Format(time.RFC3339), Ends: a.Ends.Format(time.RFC3339),
	}
	if left, err := a.Left(o.now()); err == nil {
		v.Left = left.String()
	}
	return v
}

func (o *operator) listCredit(w http.ResponseWriter, r *http.Request) {
	list, err := o.credit.Accounts(r.Context(), r.URL.Query().Get("after"), limitOf(r))
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "Credit cannot be read.")
		return
	}
	views := []accountView{}
	for _, a := range list {
		views = append(views, o.viewOfAccount(a))
	}
	writeJSON(w, views)
}

func (o *operator) showCredit(w http.ResponseWriter, r *http.Request) {
	a, err := o.credit.Account(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, payment.ErrNotFound):
		writeProblem(w, http.StatusNotFound, "There is no such credit.")
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "Credit cannot be read.")
	default:
		writeJSON(w, o.viewOfAccount(a))
	}
}

func (o *operator) freezeCredit(w http.ResponseWriter, r *http.Request) {
	if err := o.credit.Freeze(r.Context(), r.PathValue("id")); err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The credit cannot be frozen now.")
		return
	}
	o.showCredit(w, r)
}

// untouched reports whether a payment may be paid back in whole: one that bought credit
// only while none of it was used. Nothing more is drawn from it then.
func (o *operator) untouched(w http.ResponseWriter, r *http.Request, id string) bool {
	for range 2 { // once more when it is frozen: a draw may have been quicker
		a, err := o.credit.Account(r.Context(), id)
		switch {
		case errors.Is(err, payment.ErrNotFound):
			return true
		case err != nil:
			writeProblem(w, http.StatusServiceUnavailable, "Whether its credit was used cannot be read now.")
			return false
		case !a.Spent.IsZero():
			writeProblem(w, http.StatusConflict, a.Spent.String()+" of the credit that it bought were used, so it is not paid back in whole. "+
				"Freeze the credit, and return what is left at the processor.")
			return false
		}
		if err := o.credit.Freeze(r.Context(), id); err != nil {
			writeProblem(w, http.StatusServiceUnavailable, "The credit cannot be frozen now, so it is not paid back.")
			return false
		}
	}
	return true
}

type creditCmd struct {
	List   creditListCmd   `cmd:"" help:"List what packs have bought, newest first."`
	Show   creditShowCmd   `cmd:"" help:"Show one account; it has the id of the payment that bought it."`
	Freeze creditFreezeCmd `cmd:"" help:"Let nothing more be drawn from an account. It cannot be undone."`
}

type creditListCmd struct {
	configured

	After string `help:"List what comes behind this account."`
	Limit int    `help:"How many." default:"50"`
}

// Run asks the running server.
func (c *creditListCmd) Run(ctx context.Context, p *Process) error {
	var list []accountView
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}, "after": {c.After}}
	if err := c.admin(ctx, p, http.MethodGet, "/admin/credit?"+q.Encode(), nil, &list); err != nil {
		return fmt.Errorf("credit: %w", err)
	}
	t := newTable(p.Stdout, "account", "bought", "spent", "left", "ends", "")
	for _, a := range list {
		note := ""
		if a.Frozen {
			note = "frozen"
		}
		t.row(a.Account, a.Bought, a.Spent, a.Left, a.Ends, note)
	}
	return t.flush()
}

type creditShowCmd struct {
	configured

	ID string `arg:"" help:"The payment that bought it, pay_…"`
}

// Run asks the running server.
func (c *creditShowCmd) Run(ctx context.Context, p *Process) error {
	return c.account(ctx, p, http.MethodGet, "/admin/credit/"+url.PathEscape(c.ID))
}

func (c configured) account(ctx context.Context, p *Process, method, path string) error {
	var a accountView
	if err := c.admin(ctx, p, method, path, nil, &a); err != nil {
		return fmt.Errorf("credit: %w", err)
	}
	return printJSON(p, a)
}

type creditFreezeCmd struct {
	configured

	ID string `arg:"" help:"The payment that bought it, pay_…"`
}

// Run tells the running server.
func (c *creditFreezeCmd) Run(ctx context.Context, p *Process) error {
	return c.account(ctx, p, http.MethodPost, "/admin/credit/"+url.PathEscape(c.ID)+"/freeze")
}

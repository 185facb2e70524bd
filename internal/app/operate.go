package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"paywall/internal/problem"
	"paywall/internal/testhook"
	"paywall/payment"
	"paywall/sqlstore"
)

// configured is what every operating command needs: the file that the server runs with.
type configured struct {
	Config string `short:"c" help:"The configuration file." default:"paywall.yaml" type:"path"`
}

// admin asks the running server. errNotRunning means that nothing listens.
func (c configured) admin(ctx context.Context, p *Process, method, path string, body, into any) error {
	cfg, err := loadConfig(p, c.Config)
	if err != nil {
		return err
	}
	return adminCall(ctx, cfg.Admin, method, path, body, into)
}

var errNotRunning = errors.New("no server answers on the admin address of this configuration; start one with: paywall serve")

func adminCall(ctx context.Context, listen, method, path string, body, into any) error {
	if listen == "" {
		return errors.New("the configuration has no admin listener; add: admin: {listen: 127.0.0.1:4021}")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var payload io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask the server: %w", err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+listen+path, payload)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	req.Header.Set(adminHeader, "1")
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return errNotRunning
	}
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var d problem.Document
		if json.Unmarshal(data, &d) != nil || d.Detail == "" {
			return fmt.Errorf("the server answered %s", resp.Status)
		}
		return errors.New(plainText(d.Detail))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}

// read looks at the store: beside a running server, or without one.
func (c configured) read(ctx context.Context, p *Process) (*sqlstore.Reader, error) {
	cfg, err := loadConfig(p, c.Config)
	if err != nil {
		return nil, err
	}
	r, err := sqlstore.OpenReader(ctx, sqlstore.Config{DSN: cfg.Store, Now: testhook.Now()})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return r, nil
}

type paymentsCmd struct {
	List paymentsListCmd `cmd:"" help:"List payments, newest first."`
	Show paymentsShowCmd `cmd:"" help:"Show one payment."`

	Decide paymentsDecideCmd `cmd:"" help:"Say what became of a payment under review that could not be proved."`
}

type paymentsDecideCmd struct {
	configured

	ID         string `arg:"" help:"The payment id, pay_…"`
	Charged    string `help:"It was charged, under this reference: a transaction's hash, for instance. It is owed to its payer from then on."`
	NotCharged bool   `help:"It was not charged, and cannot be any more."`
	JSON       bool   `help:"Print JSON."`
}

// Run tells the running server, which alone writes to the store.
func (c *paymentsDecideCmd) Run(ctx context.Context, p *Process) error {
	if (c.Charged != "") == c.NotCharged {
		return exitWith(exitUsage, errors.New("say either --charged REFERENCE or --not-charged"))
	}
	var v paymentView
	body := decideBody{Charged: c.Charged, NotCharged: c.NotCharged}
	if err := c.admin(ctx, p, http.MethodPost, "/admin/payments/"+url.PathEscape(c.ID)+"/decide", body, &v); err != nil {
		return fmt.Errorf("decide on %s: %w", c.ID, err)
	}
	return printPayment(p, v, c.JSON)
}

type paymentsListCmd struct {
	configured

	State    string `help:"Only this state: pending, settled, failed, voided, review, refunding or refunded." enum:",pending,authorized,settled,failed,voided,review,refunding,refunded,credited" default:""`
	Delivery string `help:"Only this delivery: none, open, dispatched or delivered." enum:",none,open,dispatched,delivered" default:""`
	Route    string `help:"Only this route."`
	After    string `help:"Go on after this payment id."`
	Limit    int    `help:"How many at most." default:"50"`
	JSON     bool   `help:"Print JSON."`
}

// Run lists from the store itself, so that it works without a server too.
func (c *paymentsListCmd) Run(ctx context.Context, p *Process) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return exitWith(exitUsage, errors.New("--limit must be 1 to 10000"))
	}
	r, err := c.read(ctx, p)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	f := payment.Filter{State: payment.State(c.State), Delivery: payment.Delivery(c.Delivery), Route: c.Route}
	list, err := r.List(ctx, f, c.After, c.Limit)
	if err != nil {
		return fmt.Errorf("list payments: %w", err)
	}
	page := paymentPage{Payments: []paymentView{}}
	for _, pay := range list {
		page.Payments = append(page.Payments, viewOf(pay))
	}
	if len(list) == c.Limit {
		page.Next = list[len(list)-1].ID
	}
	if c.JSON {
		return printJSON(p, page)
	}
	if len(list) == 0 {
		fmt.Fprintln(p.Stdout, "no payments")
		return nil
	}
	t := newTable(p.Stdout, "payment", "state", "delivery", "amount", "route", "created", "reason")
	for _, v := range page.Payments {
		t.row(v.ID, string(v.State), string(v.Delivery), v.Amount, v.Route, v.CreatedAt.Format(time.DateTime), v.Reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintln(p.Stdout, "more: --after", page.Next)
	}
	return nil
}

type paymentsShowCmd struct {
	configured

	ID   string `arg:"" help:"The payment id, pay_…"`
	JSON bool   `help:"Print JSON."`
}

// Run shows one payment.
func (c *paymentsShowCmd) Run(ctx context.Context, p *Process) error {
	r, err := c.read(ctx, p)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	pay, err := r.Get(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ID, err)
	}
	return printPayment(p, viewOf(pay), c.JSON)
}

func printPayment(p *Process, v paymentView, asJSON bool) error {
	if asJSON {
		return printJSON(p, v)
	}
	t := newTable(p.Stdout, "payment", v.ID)
	t.row("state", string(v.State)+", delivery "+string(v.Delivery))
	t.row("amount", v.Amount)
	t.row("for", v.Resource+" (route "+v.Route+")")
	t.row("paid by", v.Method+" "+v.Reference+" through "+v.Protocol)
	for _, r := range []struct {
		name string
		at   *time.Time
	}{{"created", v.CreatedAt}, {"settled", v.SettledAt}, {"delivered", v.DeliveredAt}, {"refunded", v.RefundedAt}, {"window ends", v.WindowEnds}} {
		if r.at != nil {
			t.row(r.name, r.at.Format(time.RFC3339))
		}
	}
	if v.Refund != "" {
		t.row("refund", v.Refund)
	}
	if v.Reason != "" {
		t.row("reason", v.Reason)
	}
	t.row("tries", strconv.Itoa(v.Attempts)+" to settle, "+strconv.Itoa(v.Dispatches)+" to deliver")
	return t.flush()
}

type refundCmd struct {
	configured

	ID     string `arg:"" help:"The payment id, pay_…"`
	Reason string `help:"Why; kept with the payment." default:"operator"`
	Sent   string `help:"The money was returned by hand, under this reference: for payments under review whose rail has no refunds."`
	JSON   bool   `help:"Print JSON."`
}

// Run refunds through the running server, which alone writes to the store.
func (c *refundCmd) Run(ctx context.Context, p *Process) error {
	var v paymentView
	if err := c.admin(ctx, p, http.MethodPost, "/admin/payments/"+url.PathEscape(c.ID)+"/refund", reasonBody{Reason: c.Reason, Sent: c.Sent}, &v); err != nil {
		return fmt.Errorf("refund %s: %w", c.ID, err)
	}
	if err := printPayment(p, v, c.JSON); err != nil {
		return err
	}
	if v.State == payment.StateRefunding {
		return exitWith(exitPending, errors.New("the processor has not confirmed the refund yet; the server goes on by itself"))
	}
	if v.State == payment.StateReview {
		return exitWith(exitPending, fmt.Errorf("it could not be refunded by itself (%s); return the money and record it with --sent REFERENCE", v.Reason))
	}
	return nil
}

type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Read the whole store and check what must always hold."`
}

type ledgerVerifyCmd struct {
	configured

	JSON bool `help:"Print JSON."`
}

// Run audits; a break is exit code 1.
func (c *ledgerVerifyCmd) Run(ctx context.Context, p *Process) error {
	r, err := c.read(ctx, p)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	// Audit only reads; the writing half of the contract is never asked for.
	report, err := payment.Audit(ctx, r, testhook.Now()(), auditGrace)
	if err != nil {
		return fmt.Errorf("verify the ledger: %w", err)
	}
	if c.JSON {
		if err := printJSON(p, report); err != nil {
			return err
		}
	} else if err := printReport(p, report); err != nil {
		return err
	}
	if len(report.Breaks) > 0 {
		return exitWith(exitFailed, fmt.Errorf("%d invariants are broken", len(report.Breaks)))
	}
	return nil
}

func printReport(p *Process, r payment.Report) error {
	fmt.Fprintf(p.Stdout, "payments: %d, ledger entries: %d\n", r.Payments, r.Entries)
	t := newTable(p.Stdout, "account", "balance in minor units")
	for _, a := range r.Accounts() {
		t.row(a, strconv.FormatInt(r.Balances[a], 10))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, b := range r.Breaks {
		fmt.Fprintf(p.Stdout, "BROKEN %s %s: %s\n", b.Invariant, b.Payment, plainText(b.What))
	}
	if len(r.Breaks) == 0 {
		fmt.Fprintln(p.Stdout, "every invariant holds")
	}
	return nil
}

type settleCmd struct {
	Pause  settlePauseCmd  `cmd:"" help:"Stop taking money: priced routes answer 503. What is paid is still served."`
	Resume settleResumeCmd `cmd:"" help:"Go on taking money."`
}

type settlePauseCmd struct {
	configured

	Reason string `arg:"" optional:"" help:"Why; shown to operators."`
}

// Run pauses.
func (c *settlePauseCmd) Run(ctx context.Context, p *Process) error {
	return settle(ctx, p, c.configured, "pause", c.Reason)
}

type settleResumeCmd struct{ configured }

// Run resumes.
func (c *settleResumeCmd) Run(ctx context.Context, p *Process) error {
	return settle(ctx, p, c.configured, "resume", "")
}

func settle(ctx context.Context, p *Process, c configured, verb, reason string) error {
	var answer struct {
		Paused string `json:"paused"`
	}
	if err := c.admin(ctx, p, http.MethodPost, "/admin/settlement/"+verb, reasonBody{Reason: reason}, &answer); err != nil {
		return fmt.Errorf("%s settlement: %w", verb, err)
	}
	if answer.Paused == "" {
		fmt.Fprintln(p.Stdout, "settlement is running")
		return nil
	}
	fmt.Fprintln(p.Stdout, "settlement is paused:", plainText(answer.Paused))
	return nil
}

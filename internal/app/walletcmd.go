package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paywall/money"
	"paywall/wallet"
)

type walletCmd struct {
	Login   walletLoginCmd   `cmd:"" help:"Connect this machine to a Link wallet."`
	Logout  walletLogoutCmd  `cmd:"" help:"Disconnect it."`
	List    walletListCmd    `cmd:"" help:"List spend requests."`
	Limits  walletLimitsCmd  `cmd:"" help:"Show the wallet's limits and ways to pay."`
	Cancel  walletCancelCmd  `cmd:"" help:"Withdraw a spend request."`
	Approve walletApproveCmd `cmd:"" help:"Approve a spend request. Sandbox only: in a real wallet its owner does that."`
	Deny    walletDenyCmd    `cmd:"" help:"Deny a spend request. Sandbox only."`
}

type walletLoginCmd struct{ purse }

// Run logs in by the device flow.
func (c *walletLoginCmd) Run(ctx context.Context, p *Process) error {
	link, err := c.link(p, nil)
	if err != nil {
		return err
	}
	in, err := link.StartLogin(ctx)
	if err != nil {
		return outcome(err)
	}
	where := in.CompleteURL
	if where == "" {
		where = in.URL
	}
	fmt.Fprintf(p.Stdout, "Open %s\nand confirm the code %s\n", plainText(where), plainText(in.Code))
	if err := link.FinishLogin(ctx, in); err != nil {
		return outcome(err)
	}
	fmt.Fprintln(p.Stdout, "connected")
	return nil
}

type walletLogoutCmd struct{ purse }

// Run logs out.
func (c *walletLogoutCmd) Run(ctx context.Context, p *Process) error {
	link, err := c.link(p, nil)
	if err != nil {
		return err
	}
	if err := link.Logout(ctx); err != nil {
		return outcome(err)
	}
	fmt.Fprintln(p.Stdout, "disconnected")
	return nil
}

type walletListCmd struct {
	purse

	All  bool `help:"Those that are over, too."`
	JSON bool `help:"Print JSON."`
}

// Run lists.
func (c *walletListCmd) Run(ctx context.Context, p *Process) error {
	link, err := c.link(p, nil)
	if err != nil {
		return err
	}
	list, err := link.List(ctx, c.All)
	if err != nil {
		return outcome(err)
	}
	if c.JSON {
		type view struct {
			ID          string `json:"id"`
			Status      string `json:"status"`
			Amount      string `json:"amount"`
			NetworkID   string `json:"network_id"`
			Context     string `json:"context"`
			ApprovalURL string `json:"approval_url,omitempty"`
		}
		views := []view{}
		for _, s := range list {
			views = append(views, view{s.ID, string(s.Status), s.Amount.String(), s.NetworkID, s.Context, s.ApprovalURL})
		}
		return printJSON(p, views)
	}
	if len(list) == 0 {
		fmt.Fprintln(p.Stdout, "no spend requests")
		return nil
	}
	t := newTable(p.Stdout, "request", "status", "amount", "seller")
	for _, s := range list {
		t.row(s.ID, string(s.Status), s.Amount.String(), s.NetworkID)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, s := range list {
		if s.ApprovalURL != "" && s.Status == wallet.StatusPending {
			fmt.Fprintln(p.Stdout, "decide at", plainText(s.ApprovalURL))
		}
	}
	return nil
}

type walletLimitsCmd struct {
	purse

	JSON bool `help:"Print JSON."`
}

// Run shows the limits.
func (c *walletLimitsCmd) Run(ctx context.Context, p *Process) error {
	link, err := c.link(p, nil)
	if err != nil {
		return err
	}
	a, err := link.Limits(ctx)
	if err != nil {
		return outcome(err)
	}
	methods, err := link.PaymentMethods(ctx)
	if err != nil {
		return outcome(err)
	}
	shown := func(m money.Amount) string {
		if !m.Valid() {
			return "-"
		}
		return m.String()
	}
	if c.JSON {
		bound := func(b wallet.Bound) map[string]string {
			return map[string]string{"max": shown(b.Max), "used": shown(b.Used), "remaining": shown(b.Remaining)}
		}
		return printJSON(p, map[string]any{"per_payment": bound(a.PerPayment), "day": bound(a.Day), "thirty_days": bound(a.Month)})
	}
	t := newTable(p.Stdout, "limit", "most", "used", "left")
	t.row("per payment", shown(a.PerPayment.Max), "", "")
	t.row("a day", shown(a.Day.Max), shown(a.Day.Used), shown(a.Day.Remaining))
	t.row("30 days", shown(a.Month.Max), shown(a.Month.Used), shown(a.Month.Remaining))
	if err := t.flush(); err != nil {
		return err
	}
	for _, m := range methods {
		mark := ""
		if m.Default {
			mark = ", the default"
		}
		fmt.Fprintf(p.Stdout, "pays with %s %s %s%s\n", plainText(m.Nickname), plainText(m.Brand), plainText(m.Last4), mark)
	}
	if a.StepUp != "" {
		fmt.Fprintf(p.Stdout, "the wallet asks its owner for %s: %s\n", plainText(a.StepUp), plainText(a.StepUpURL))
	}
	return nil
}

type walletCancelCmd struct {
	purse

	ID string `arg:"" help:"The spend request, lsrq_…"`
}

// Run cancels.
func (c *walletCancelCmd) Run(ctx context.Context, p *Process) error {
	link, err := c.link(p, nil)
	if err != nil {
		return err
	}
	s, err := link.Cancel(ctx, c.ID)
	if err != nil {
		return outcome(err)
	}
	fmt.Fprintln(p.Stdout, s.ID, s.Status)
	return nil
}

type walletApproveCmd struct {
	purse

	ID string `arg:"" help:"The spend request, lsrq_…"`
}

// Run approves in the sandbox.
func (c *walletApproveCmd) Run(ctx context.Context, p *Process) error {
	return c.decide(ctx, p, c.ID, "approve")
}

type walletDenyCmd struct {
	purse

	ID string `arg:"" help:"The spend request, lsrq_…"`
}

// Run denies in the sandbox.
func (c *walletDenyCmd) Run(ctx context.Context, p *Process) error {
	return c.decide(ctx, p, c.ID, "deny")
}

// decide plays the owner of a sandbox wallet. A real wallet has no such call.
func (c purse) decide(ctx context.Context, p *Process, id, verb string) error {
	base := c.LinkAPI
	if base == "" {
		base = "http://127.0.0.1:4022"
	}
	u, err := url.Parse(base)
	if err != nil || !loopbackHost(u.Host) {
		return exitWith(exitUsage, errors.New("only a sandbox's requests are decided here; in a real wallet its owner decides"))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+"/_wallet/requests/"+url.PathEscape(id)+"/"+verb, bytes.NewReader([]byte("{}")))
	if err != nil {
		return fmt.Errorf("ask the sandbox: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return fmt.Errorf("no sandbox answers at %s; start one with: paywall sandbox", base)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("ask the sandbox: %w", err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the sandbox answered %s: %s", plainText(resp.Status), plainText(string(body)))
	}
	fmt.Fprintln(p.Stdout, id, map[string]string{"approve": "approved", "deny": "denied"}[verb])
	return nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"paywall/internal/builtin"
	"paywall/methods/stripe"
	"paywall/payment"
)

// deposits makes the rails whose stablecoins are paid to an address at the
// processor, and the queue that enters them in its books.
func (s *server) deposits(ctx context.Context, now func() time.Time) error {
	var names []string
	for _, f := range s.cfg.Methods.Facilitators {
		if f.PayTo == "" {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	h := s.env.hooks
	rails, err := builtin.Methods(s.cfg.Methods, builtin.Surroundings{
		Now: now, Wrap: h.wrap, Logger: h.logger,
		Deposit: func(rail *stripe.Method, network string) (string, error) { return s.depositAddress(ctx, rail, network) },
	})
	if err != nil {
		return fmt.Errorf("methods: %w", err)
	}
	s.parts.rails = rails
	recorder, err := stripe.NewRecorder(stripe.CoinConfig{Rail: rails.Stripe})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	s.transfers, err = stripe.NewDeliverer(stripe.DelivererConfig{Store: s.store, Recorder: recorder, Methods: names, Now: now, Logger: s.env.logger})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	if err := s.transfers.Begin(ctx); err != nil {
		return fmt.Errorf("transfers: %w", err)
	}
	return nil
}

// depositAddress is asked for once; from then on the store knows it, so that a
// start needs nobody's answer.
func (s *server) depositAddress(ctx context.Context, rail *stripe.Method, network string) (string, error) {
	m := s.cfg.Methods.Stripe
	name := fmt.Sprintf("stripe.deposit:%s:%t:%s", m.Account, m.Live, network)
	known, err := s.store.Setting(ctx, name)
	if err != nil || known != "" {
		return known, err //nolint:wrapcheck // the store says what it did
	}
	d, err := stripe.NewDeposits(stripe.CoinConfig{Rail: rail})
	if err != nil {
		return "", err //nolint:wrapcheck // it names the field
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	address, err := d.Address(ctx, network)
	if err != nil {
		return "", fmt.Errorf("the processor's deposit address on %s: %w; start again, or write an address of your own", network, err)
	}
	return address, s.store.SetSetting(ctx, name, address) //nolint:wrapcheck // the store says what it did
}

// listTransfers shows how far the processor's books follow.
func (o *operator) listTransfers(w http.ResponseWriter, r *http.Request) {
	if o.transfers == nil {
		writeProblem(w, http.StatusNotFound, "No stablecoins are paid to the processor.")
		return
	}
	t, err := o.transfers.Transfers(r.Context())
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The state of transfers cannot be read.")
		return
	}
	v := transfersView{Position: t.Position, Carry: map[string]string{}, Waiting: []transferView{}, Dead: []transferView{}}
	for network, amount := range t.Carry {
		v.Carry[network] = amount.String()
	}
	for _, u := range t.Waiting {
		v.Waiting = append(v.Waiting, viewOfTransfer(u))
	}
	for _, u := range t.Dead {
		v.Dead = append(v.Dead, viewOfTransfer(u))
	}
	writeJSON(w, v)
}

type transfersView struct {
	Position int64             `json:"position"`
	Carry    map[string]string `json:"carry"`
	Waiting  []transferView    `json:"waiting"`
	Dead     []transferView    `json:"dead"`
}

type transferView struct {
	Payment     string `json:"payment"`
	Network     string `json:"network"`
	Transaction string `json:"transaction"`
	Amount      string `json:"amount"`
	Reason      string `json:"reason"`
	Since       string `json:"since"`
	Tries       int    `json:"tries"`
}

func viewOfTransfer(u stripe.Unrecorded) transferView {
	return transferView{u.PaymentID, u.Network, u.Transaction, u.Amount.String(), u.Reason, u.Since.UTC().Format(time.RFC3339), u.Tries}
}

// moveTransfer has a dead transfer tried again, or forgets one that a person has entered.
func (o *operator) moveTransfer(w http.ResponseWriter, r *http.Request) {
	if o.transfers == nil {
		writeProblem(w, http.StatusNotFound, "No stablecoins are paid to the processor.")
		return
	}
	act := o.transfers.Retry
	switch r.PathValue("act") {
	case "retry":
	case "dismiss":
		act = o.transfers.Dismiss
	default:
		writeProblem(w, http.StatusNotFound, "Nothing is here.")
		return
	}
	switch err := act(r.Context(), r.PathValue("id")); {
	case errors.Is(err, payment.ErrNotFound):
		writeProblem(w, http.StatusNotFound, "This payment is not among those that were given up.")
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "The change could not be stored; nothing changed.")
	default:
		o.listTransfers(w, r)
	}
}

type transfersCmd struct {
	List    transfersListCmd    `cmd:"" help:"Show how far the processor's books follow, and what was given up."`
	Retry   transfersRetryCmd   `cmd:"" help:"Have a payment that was given up entered again."`
	Dismiss transfersDismissCmd `cmd:"" help:"Forget a payment that was given up: a person has entered it."`
}

type transfersListCmd struct{ configured }

// Run asks the running server.
func (c *transfersListCmd) Run(ctx context.Context, p *Process) error {
	return c.show(ctx, p, http.MethodGet, "/admin/transfers")
}

func (c configured) show(ctx context.Context, p *Process, method, path string) error {
	var t transfersView
	if err := c.admin(ctx, p, method, path, nil, &t); err != nil {
		return fmt.Errorf("transfers: %w", err)
	}
	return printJSON(p, t)
}

type transfersRetryCmd struct {
	configured

	ID string `arg:"" help:"The payment id, pay_…"`
}

// Run tells the running server.
func (c *transfersRetryCmd) Run(ctx context.Context, p *Process) error {
	return c.show(ctx, p, http.MethodPost, "/admin/transfers/"+url.PathEscape(c.ID)+"/retry")
}

type transfersDismissCmd struct {
	configured

	ID string `arg:"" help:"The payment id, pay_…"`
}

// Run tells the running server.
func (c *transfersDismissCmd) Run(ctx context.Context, p *Process) error {
	return c.show(ctx, p, http.MethodPost, "/admin/transfers/"+url.PathEscape(c.ID)+"/dismiss")
}

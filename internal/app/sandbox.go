package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"paywall/internal/testhook"
	"paywall/money"
	"paywall/sandbox"
	"paywall/sandbox/stripe"
)

type sandboxCmd struct {
	Listen        string        `help:"A loopback address." default:"127.0.0.1:4022"`
	AutoApprove   string        `help:"The wallet approves amounts up to this by itself, such as \"2.00 USD\"."`
	Profile       string        `help:"The seller's profile; by default every profile is taken for the seller's."`
	Webhook       string        `help:"Send the processor's events to this URL, such as http://127.0.0.1:4020/webhooks/stripe."`
	WebhookSecret string        `help:"Sign them with this secret, whsec_…" env:"PAYWALL_SANDBOX_WEBHOOK_SECRET"`
	Latency       time.Duration `help:"How long the processor takes for a call."`
	Seed          uint64        `help:"Make ids and faults repeatable."`
}

// Run serves the stand-ins until it is stopped.
func (c *sandboxCmd) Run(ctx context.Context, p *Process) error {
	cfg := sandbox.Config{
		BaseURL: "http://" + c.Listen, Now: testhook.Now(), Seed: c.Seed, Latency: c.Latency, Profile: c.Profile,
		Logger: slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if c.AutoApprove != "" {
		amount, err := money.ParsePrice(c.AutoApprove)
		if err != nil || amount.Currency() != "USD" || amount.Scale() != 2 {
			return exitWith(exitUsage, errors.New(`--auto-approve: want an amount such as "2.00 USD"`))
		}
		cfg.AutoApprove = amount.Units()
	}
	if c.Webhook != "" {
		cfg.Webhooks = []stripe.Webhook{{URL: c.Webhook, Secret: c.WebhookSecret}}
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		return err //nolint:wrapcheck // it names the setting
	}
	defer s.Close()
	l, err := s.Listen(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(p.Stderr, "%s\nprocessor     http://%s\nwallet page   http://%s/wallet\ncontrol       http://%s/_sandbox/audit\n", sandbox.Notice, c.Listen, c.Listen, c.Listen)
	fmt.Fprintf(p.Stderr, "facilitator   http://%s/facilitator\nchain         http://%s/rpc/84532\n", c.Listen, c.Listen)
	fmt.Fprintf(p.Stderr, "an agent's wallet: LINK_API_BASE_URL=http://%s LINK_AUTH_BASE_URL=http://%s\n", c.Listen, c.Listen)
	hs := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- hs.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := hs.Shutdown(stop); err != nil {
		_ = hs.Close()
	}
	return nil
}

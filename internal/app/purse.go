package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"paywall/internal/testhook"
	"paywall/wallet"
)

// purse is where an agent's wallet is and what it remembers.
type purse struct {
	Home     string `help:"Folder of the login, the spending ledger and unanswered payments." env:"PAYWALL_HOME" type:"path"`
	LinkAPI  string `name:"link-api" help:"Origin of the Link wallet's API; the sandbox's for play money." env:"LINK_API_BASE_URL"`
	LinkAuth string `name:"link-auth" help:"Origin of the Link wallet's login." env:"LINK_AUTH_BASE_URL"`
}

// folder makes the purse's folder, for this user alone.
func (c purse) folder(p *Process) (string, error) {
	dir := c.Home
	if dir == "" {
		base, ok := p.Getenv("XDG_CONFIG_HOME")
		if !ok || base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("no home folder; name one with --home: %w", err)
			}
			base = filepath.Join(home, ".config")
		}
		dir = filepath.Join(base, "paywall")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create the wallet's folder: %w", err)
	}
	return dir, nil
}

// link opens the Link wallet. show is told of requests that wait for the owner.
func (c purse) link(p *Process, show func(context.Context, wallet.SpendRequest)) (*wallet.LinkClient, error) {
	var tokens wallet.TokenStore
	if access, ok := p.Getenv("LINK_ACCESS_TOKEN"); ok && access != "" {
		tokens = wallet.NewMemoryTokens(wallet.Tokens{Access: wallet.Secret(access)})
	} else {
		dir, err := c.folder(p)
		if err != nil {
			return nil, err
		}
		tokens = wallet.NewFileTokens(filepath.Join(dir, "wallet.json"))
	}
	auth := c.LinkAuth
	if auth == "" {
		auth = c.LinkAPI // a stand-in has both at one place
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	client, err := wallet.NewLinkClient(wallet.LinkConfig{
		BaseURL: c.LinkAPI, AuthURL: auth, Tokens: tokens, Label: "paywall on " + host, UserAgent: "paywall/" + p.Version,
		Show: show, Now: testhook.Now(),
	})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return client, nil
}

// outcome maps what a payment came to onto an exit code, and says what to do next.
func outcome(err error) error {
	declined, _ := errors.AsType[*wallet.DeclinedError](err)
	switch {
	case err == nil:
		return nil
	case declined != nil && declined.MaybeCharged:
		return exitWith(exitPending, fmt.Errorf("%w: ask the seller, or pay anew with --forget", err))
	case errors.Is(err, wallet.ErrPending):
		return exitWith(exitPending, fmt.Errorf("%w; run the same command again: it presents the same payment and pays nothing new", err))
	case errors.Is(err, wallet.ErrDenied), errors.Is(err, wallet.ErrExpired), errors.Is(err, wallet.ErrPolling):
		return exitWith(exitDenied, err)
	case errors.Is(err, wallet.ErrPolicy), errors.Is(err, wallet.ErrNoOffer), errors.Is(err, wallet.ErrPriceChanged),
		errors.Is(err, wallet.ErrDeclined), errors.Is(err, wallet.ErrAction):
		return exitWith(exitRefused, err)
	case errors.Is(err, context.Canceled):
		return exitWith(exitFailed, errors.New("stopped"))
	case errors.Is(err, wallet.ErrLogin):
		return exitWith(exitFailed, fmt.Errorf("%w; connect a wallet with: paywall wallet login", err))
	}
	return err
}

// Package app is the command: it wires configuration, stores, rails, protocols
// and listeners together, and is the only place that knows them all.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"paywall/internal/app/cmdline"
)

// Exit codes, the same for every command.
const (
	exitOK      = 0
	exitFailed  = 1 // it did not work, or a check found something
	exitUsage   = 2 // the command line is wrong
	exitRefused = 3 // the payment was declined, or the spending policy forbids it
	exitPending = 4 // the outcome of a payment is not known yet: run the same command again
	exitDenied  = 5 // the person behind the wallet said no, or did not answer in time
)

// Process is what a command gets from its surroundings.
type Process struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) (string, bool)
	Version        string
}

// exitError ends a command with a code and, if it has one, a line of text.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitWith(code int, err error) error { return &exitError{code, err} }

type commands struct {
	Serve     serveCmd     `cmd:"" help:"Serve the priced API of a configuration file."`
	Check     checkCmd     `cmd:"" help:"Check a configuration file and show its routes and prices."`
	Demo      demoCmd      `cmd:"" help:"Watch an agent pay for a request, offline."`
	Sandbox   sandboxCmd   `cmd:"" help:"Run stand-ins of the processor and the Link wallet. No money moves."`
	Pay       payCmd       `cmd:"" help:"Request a URL and pay for it from a wallet, under a spending policy."`
	Shop      shopCmd      `cmd:"" help:"Buy from a shop over UCP: discover, search, buy, follow an order."`
	Wallet    walletCmd    `cmd:"" help:"Connect a wallet; list, approve and deny its spend requests."`
	Receipt   receiptCmd   `cmd:"" help:"Verify or show a receipt, offline."`
	Keys      keysCmd      `cmd:"" help:"Create, list, rotate and revoke keys."`
	Payments  paymentsCmd  `cmd:"" help:"List payments, or show one."`
	Refund    refundCmd    `cmd:"" help:"Return a settled payment to its payer."`
	Ledger    ledgerCmd    `cmd:"" help:"Prove the books."`
	Settle    settleCmd    `cmd:"" help:"Pause or resume settlement."`
	Credit    creditCmd    `cmd:"" help:"List, show and freeze what packs of credit have bought."`
	Orders    ordersCmd    `cmd:"" help:"List and show orders; ship, erase, and tell their platforms again."`
	Catalog   catalogCmd   `cmd:"" help:"Check a catalog, or write one of the products at the processor."`
	Transfers transfersCmd `cmd:"" help:"Stablecoins in the processor's books: how far they follow, and what was given up."`
	Reconcile reconcileCmd `cmd:"" help:"Compare the books with the processor's charges."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

const description = `Lets an HTTP API be paid by software agents, per request.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 payment refused, 4 outcome of a payment unknown (run the same command again),
5 denied by the wallet's owner.`

// Main runs one command and returns its exit code.
func Main(p Process) int {
	program := cmdline.Program{Name: "paywall", Description: description, Getenv: p.Getenv}
	command, help, err := program.Parse(&commands{}, p.Args)
	if err != nil {
		fmt.Fprintf(p.Stderr, "paywall: %v\nRun paywall --help for the commands.\n", err)
		return exitUsage
	}
	if help != "" {
		fmt.Fprint(p.Stdout, help)
		return exitOK
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, command, &p); err != nil {
		if ee, ok := errors.AsType[*exitError](err); ok {
			if ee.err != nil {
				fmt.Fprintln(p.Stderr, "paywall:", ee.err)
			}
			return ee.code
		}
		fmt.Fprintln(p.Stderr, "paywall:", err)
		return exitFailed
	}
	return exitOK
}

// run calls a command by one of the two forms that they have.
func run(ctx context.Context, command any, p *Process) error {
	switch c := command.(type) {
	case interface {
		Run(ctx context.Context, p *Process) error
	}:
		return c.Run(ctx, p)
	case interface{ Run(p *Process) error }:
		return c.Run(p)
	default:
		return fmt.Errorf("%T does nothing", command)
	}
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(p *Process) error {
	_, err := fmt.Fprintln(p.Stdout, "paywall", p.Version)
	return err //nolint:wrapcheck // nothing to add
}

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

	"github.com/alecthomas/kong"
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
	Wallet    walletCmd    `cmd:"" help:"Connect a wallet; list, approve and deny its spend requests."`
	Receipt   receiptCmd   `cmd:"" help:"Verify or show a receipt, offline."`
	Keys      keysCmd      `cmd:"" help:"Create, list, rotate and revoke keys."`
	Payments  paymentsCmd  `cmd:"" help:"List payments, or show one."`
	Refund    refundCmd    `cmd:"" help:"Return a settled payment to its payer."`
	Ledger    ledgerCmd    `cmd:"" help:"Prove the books."`
	Settle    settleCmd    `cmd:"" help:"Pause or resume settlement."`
	Reconcile reconcileCmd `cmd:"" help:"Compare the books with the processor's charges."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

const description = `Lets an HTTP API be paid by software agents, per request.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 payment refused, 4 outcome of a payment unknown (run the same command again),
5 denied by the wallet's owner.`

// Main runs one command and returns its exit code.
func Main(p Process) int {
	var cli commands
	exit := -1
	parser, err := kong.New(&cli, kong.Name("paywall"), kong.Description(description),
		kong.Writers(p.Stdout, p.Stderr), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(p.Stderr, "paywall:", err)
		return exitFailed
	}
	kctx, err := parser.Parse(p.Args)
	if exit >= 0 {
		return exit // help was asked for and printed
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "paywall: %v\nRun paywall --help for the commands.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	kctx.BindTo(ctx, (*context.Context)(nil))
	if err := kctx.Run(&p); err != nil {
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

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(p *Process) error {
	_, err := fmt.Fprintln(p.Stdout, "paywall", p.Version)
	return err //nolint:wrapcheck // nothing to add
}

package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"paywall/internal/testhook"
	"paywall/money"
	"paywall/wallet"
	"paywall/x402/evm"
)

// payCmdWallet is which wallet pays, and under which policy.
type payCmdWallet struct {
	purse

	Max    string   `help:"The most that this payment may cost." default:"5.00 USD"`
	MaxDay string   `help:"The most that all payments of 24 hours may cost." default:"20.00 USD"`
	Host   []string `help:"Pay these hosts only. May be repeated."`
	Why    string   `help:"Why, in words that the wallet's owner reads."`
	Yes    bool     `short:"y" help:"Do not ask here. A Link wallet's owner is asked by the wallet all the same."`
	Test   bool     `help:"Ask the wallet for play money."`
	Wallet string   `help:"link; key: stablecoins over x402 from a key; or processor: play money from the processor's test helper, with PAYWALL_TEST_KEY." enum:"link,key,processor" default:"link"`

	Protocol string   `help:"The protocol to pay by where both could be: mpp or x402." enum:"mpp,x402" default:"mpp"`
	KeyFile  string   `name:"key-file" help:"File of the key for --wallet key, made by: paywall keys payer. PAYWALL_PAYER_KEY may hold the key itself." type:"path"`
	Network  []string `help:"A network that --wallet key pays on, as eip155:8453. Without one, test networks alone. May be repeated."`

	Processor string `help:"Origin of the processor for --wallet processor; the sandbox's, for instance." env:"PAYWALL_PROCESSOR"`
}

type payCmd struct {
	payCmdWallet

	URL     string   `arg:"" help:"What to request."`
	Request string   `short:"X" help:"The HTTP method; POST when there is a body, GET otherwise."`
	Header  []string `short:"H" sep:"none" help:"A header field, \"Name: value\". May be repeated."`
	Data    string   `short:"d" help:"The body; @FILE reads it from a file, @- from standard input."`
	Output  string   `short:"o" help:"Write the answer's body to this file." type:"path"`
	Include bool     `short:"i" help:"Print the answer's head, too."`
	Receipt string   `help:"Write the signed receipt to this file." type:"path"`

	DryRun bool `help:"Show what would be paid, and pay nothing."`
	Forget bool `help:"Give up an earlier payment of this request whose outcome is unknown; it may have been charged."`
	JSON   bool `help:"Print one JSON object with the answer and what it cost."`
}

// Run requests, pays, and prints the answer.
func (c *payCmd) Run(ctx context.Context, p *Process) error {
	req, err := c.request(ctx, p)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	if c.DryRun {
		return c.offers(p, req)
	}
	t, err := c.transport(p)
	if err != nil {
		return err
	}
	if c.Forget {
		if err := t.Forget(req); err != nil {
			return fmt.Errorf("forget the earlier payment: %w", err)
		}
		if req.Body, err = req.GetBody(); err != nil { // it was read to find what is kept
			return fmt.Errorf("the request: %w", err)
		}
	}
	out, err := c.files()
	if err != nil {
		return exitWith(exitUsage, err)
	}
	resp, err := send(t, req)
	if err != nil {
		return errors.Join(outcome(err), out.discard())
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	result, _ := wallet.ResultOf(resp)
	err = c.print(p, resp, result, out)
	if err = errors.Join(err, out.keep(result.ReceiptToken.Reveal())); err != nil {
		return err
	}
	return status(resp, result)
}

// send follows no redirect: where it leads may be another seller. Errors do not
// repeat the address, which was typed a line above.
func send(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return nil, outer.Err
	}
	return resp, err //nolint:wrapcheck // those of package wallet decide the exit code
}

func (c *payCmd) print(p *Process, resp *http.Response, result wallet.Result, out files) error {
	if c.JSON {
		return c.printJSON(p, resp, result)
	}
	if c.Include {
		fmt.Fprintf(p.Stdout, "%s %s\n", resp.Proto, resp.Status)
		for name, values := range resp.Header {
			for _, v := range values {
				fmt.Fprintf(p.Stdout, "%s: %s\n", plainText(name), plainText(v))
			}
		}
		fmt.Fprintln(p.Stdout)
	}
	if err := out.write(p.Stdout, resp.Body); err != nil {
		return err
	}
	if result.Credit != "" {
		fmt.Fprintf(p.Stderr, "drawn from credit: %s\n", plainText(result.Credit))
	}
	if result.Presented && result.Reference() != "" {
		fmt.Fprintf(p.Stderr, "paid %s, reference %s\n", result.Amount, plainText(result.Reference()))
	}
	return nil
}

func status(resp *http.Response, result wallet.Result) error {
	payment := plainText(resp.Header.Get("Paywall-Payment-Id"))
	switch {
	case resp.StatusCode < 400:
		return nil
	case resp.StatusCode == http.StatusPaymentRequired:
		return exitWith(exitRefused, errors.New("the server still asks for payment"))
	}
	if result.Presented && payment != "" {
		return exitWith(exitFailed, fmt.Errorf("the server answered %s; payment %s of %s is open at the seller, who owes the answer or a refund",
			plainText(resp.Status), payment, result.Amount))
	}
	return exitWith(exitFailed, fmt.Errorf("the server answered %s", plainText(resp.Status)))
}

func (c *payCmd) request(ctx context.Context, p *Process) (*http.Request, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL to request; write https://host/path", plainText(c.URL))
	}
	method := c.Request
	var body []byte
	switch {
	case c.Data == "@-":
		body, err = io.ReadAll(io.LimitReader(p.Stdin, wallet.DefaultMaxBody+1))
	case strings.HasPrefix(c.Data, "@"):
		body, err = os.ReadFile(c.Data[1:])
	default:
		body = []byte(c.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if method == "" {
		method = http.MethodGet
		if len(body) > 0 {
			method = http.MethodPost
		}
	}
	if c.Why != "" {
		ctx = wallet.WithPurpose(ctx, c.Why)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header %q has no colon", line)
		}
		req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return req, nil
}

func (c *payCmdWallet) policy() (wallet.Policy, error) {
	per, err := money.ParsePrice(c.Max)
	if err != nil {
		return wallet.Policy{}, exitWith(exitUsage, fmt.Errorf(`--max: want an amount such as "5.00 USD": %w`, err))
	}
	day, err := money.ParsePrice(c.MaxDay)
	if err != nil {
		return wallet.Policy{}, exitWith(exitUsage, fmt.Errorf(`--max-day: want an amount such as "20.00 USD": %w`, err))
	}
	policy := wallet.Policy{PerPayment: wallet.Limits{per}, PerDay: wallet.Limits{day}, Hosts: c.Host}
	if c.Yes {
		policy.AskAbove = wallet.Limits{per}
	}
	return policy, nil
}

func (c *payCmdWallet) transport(p *Process) (*wallet.Transport, error) {
	policy, err := c.policy()
	if err != nil {
		return nil, err
	}
	dir, err := c.folder(p)
	if err != nil {
		return nil, err
	}
	ledger, err := wallet.OpenLedger(filepath.Join(dir, "spent.json"))
	if err != nil {
		return nil, fmt.Errorf("open the spending ledger: %w", err)
	}
	journal, err := wallet.OpenJournal(filepath.Join(dir, "unanswered"))
	if err != nil {
		return nil, fmt.Errorf("open the journal of unanswered payments: %w", err)
	}
	credit, err := wallet.OpenCredit(filepath.Join(dir, "credit"))
	if err != nil {
		return nil, fmt.Errorf("open what is prepaid: %w", err)
	}
	cfg := wallet.Config{Policy: policy, Ledger: ledger, Journal: journal, Credit: credit, Test: c.Test, Prefer: c.Protocol, Now: testhook.Now()}
	switch c.Wallet {
	case "key":
		if cfg.Stablecoins, err = c.keyWallet(p); err != nil {
			return nil, exitWith(exitUsage, err)
		}
		cfg.Ask = c.ask(p)
	case "processor":
		key, _ := p.Getenv("PAYWALL_TEST_KEY")
		if key == "" {
			return nil, exitWith(exitUsage, errors.New("--wallet processor: set PAYWALL_TEST_KEY to the seller's test key, sk_test_…"))
		}
		cfg.Wallet, err = wallet.NewProcessorMinter(wallet.MinterConfig{Key: wallet.Secret(key), BaseURL: c.Processor, Now: testhook.Now()})
		if err != nil {
			return nil, fmt.Errorf("wallet: %w", err)
		}
		cfg.Ask = c.ask(p)
	default:
		link, err := c.link(p, func(_ context.Context, s wallet.SpendRequest) { showRequest(p, s) })
		if err != nil {
			return nil, err
		}
		cfg.Wallet = link
	}
	return wallet.NewTransport(cfg) //nolint:wrapcheck // it names the field
}

// keyWallet opens the key that stablecoins are paid from.
func (c *payCmdWallet) keyWallet(p *Process) (*wallet.KeyWallet, error) {
	text, _ := p.Getenv("PAYWALL_PAYER_KEY")
	if c.KeyFile != "" {
		data, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--key-file: %w", err)
		}
		text = string(data)
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil, errors.New("--wallet key: name a file with --key-file, or set PAYWALL_PAYER_KEY; make a key with: paywall keys payer FILE")
	}
	key, err := evm.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("--wallet key: %w", err)
	}
	w, err := wallet.NewKeyWallet(wallet.KeyConfig{Key: key, Networks: c.Network, Now: testhook.Now()})
	if err != nil {
		return nil, fmt.Errorf("--network: %w", err)
	}
	return w, nil
}

func showRequest(p *Process, s wallet.SpendRequest) {
	if s.ApprovalURL != "" {
		fmt.Fprintf(p.Stderr, "%s waits for the wallet's owner: %s\n", s.ID, plainText(s.ApprovalURL))
	}
	if s.Action != nil {
		fmt.Fprintf(p.Stderr, "the wallet needs its owner: %s %s\n", plainText(s.Action.Message), plainText(s.Action.URL))
	}
}

// ask puts a payment to whoever sits at the terminal.
func (c *payCmdWallet) ask(p *Process) func(context.Context, wallet.Ask) (bool, error) {
	return func(_ context.Context, a wallet.Ask) (bool, error) {
		fmt.Fprintf(p.Stderr, "%s %s\ncosts %s: %s\npay? [y/N] ", a.Method, plainText(a.URL), a.Amount, plainText(a.Description))
		line, err := bufio.NewReader(p.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return false, nil
		}
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	}
}

// offers asks without paying. What the policy forbids is an error, as in earnest.
func (c *payCmd) offers(p *Process, req *http.Request) error {
	policy, err := c.policy()
	if err != nil {
		return err
	}
	policy.AskAbove = nil // so that everything is asked about, and denied
	var offer *wallet.Ask
	cfg := wallet.Config{Wallet: noWallet{}, Policy: policy, Prefer: c.Protocol, Now: testhook.Now()}
	if c.Wallet == "key" {
		cfg.Wallet = nil
		if cfg.Stablecoins, err = c.keyWallet(p); err != nil {
			return exitWith(exitUsage, err)
		}
	}
	cfg.Ask = func(_ context.Context, a wallet.Ask) (bool, error) { offer = &a; return false, nil }
	probe, err := wallet.NewTransport(cfg)
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	resp, err := send(probe, req)
	if err == nil {
		defer resp.Body.Close() //nolint:errcheck // it was not read
		fmt.Fprintf(p.Stdout, "%s, without payment\n", plainText(resp.Status))
		return nil
	}
	if offer != nil {
		t := newTable(p.Stdout, "request", offer.Method+" "+offer.URL)
		t.row("price", offer.Amount.String())
		t.row("for", offer.Description)
		t.row("seller", offer.NetworkID)
		return t.flush()
	}
	if none, ok := errors.AsType[*wallet.NoOfferError](err); ok && len(none.Offers) > 0 {
		t := newTable(p.Stdout, "protocol", "method", "network", "price", "why not")
		for _, o := range none.Offers {
			t.row(o.Protocol, o.Method, o.Network, o.Amount.String(), o.Why)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return outcome(err)
}

// noWallet pays nothing.
type noWallet struct{}

// Pay implements [wallet.Wallet].
func (noWallet) Pay(context.Context, wallet.Request) (wallet.Proof, error) {
	return wallet.Proof{}, wallet.ErrDenied
}

func (c *payCmd) printJSON(p *Process, resp *http.Response, result wallet.Result) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	v := map[string]any{"status": resp.StatusCode, "body": string(body), "paid": result.Presented && result.Reference() != ""}
	if result.Presented {
		v["amount"], v["reference"] = result.Amount.String(), result.Reference()
		v["payment"] = resp.Header.Get("Paywall-Payment-Id")
	}
	return printJSON(p, v)
}

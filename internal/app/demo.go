package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"paywall/internal/config"
	"paywall/money"
	"paywall/payment"
	"paywall/receipts"
	"paywall/sandbox"
	"paywall/wallet"
	"paywall/x402/evm"
)

type demoCmd struct {
	Keep bool `help:"Leave everything running afterwards, to try it by hand."`
}

// Run tells the whole story on this machine, with play money. It succeeds only
// if every part of it happened.
func (c *demoCmd) Run(ctx context.Context, p *Process) (err error) {
	dir, err := os.MkdirTemp("", "paywall-demo-")
	if err != nil {
		return fmt.Errorf("a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := startDemo(ctx, p, dir)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.tell(ctx); ctx.Err() != nil {
		return errors.New("the demo was stopped")
	} else if err != nil {
		return fmt.Errorf("the demo did not come to its end: %w", err)
	}
	if !c.Keep {
		d.say("\nNext: %s demo --keep leaves it running, to try it by hand.", os.Args[0])
		d.say("For an API of your own, see docs/getting-started.md.")
		return nil
	}
	d.invite()
	<-ctx.Done()
	d.say("stopping")
	return nil
}

// demo is a whole neighbourhood in one process: a seller's API, paywall before
// it, the processor and the wallet.
type demo struct {
	p       *Process
	dir     string
	sandbox *sandbox.Sandbox
	server  *server
	served  *atomic.Int64
	public  string // origins
	admin   string
	play    string
	api     string
	person  net.Listener // where the shopping agent has its profile
	// shopping is set while prices stand until the shop says otherwise.
	shopping bool
	// hushed keeps the narrator silent.
	hushed bool
	stops  []func()
	ended  chan error
}

const (
	demoProfile = "profile_test_demo"
	demoNetwork = "eip155:84532"
	demoPayee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

const demoConfig = `listen: %[1]s
public_url: http://%[1]s
admin: {listen: %[2]s}
store: sqlite:paywall.db
keys: {challenge: "file:challenge.key", receipts: "file:receipts.pem", seal: "file:seal.key"}
methods:
  stripe: {key: sk_test_demo, profile: ` + demoProfile + `, payment_method_types: [card, link], base_url: "http://%[3]s"}
  facilitator: {network: "` + demoNetwork + `", pay_to: "` + demoPayee + `", url: "http://%[3]s/facilitator", node: "http://%[3]s/rpc/84532"}
upstreams:
  api: {url: "http://%[4]s"}
routes:
  - {match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD, description: One market report}
  - {match: "POST /v1/complete", upstream: api, price: 0.75 USD, description: One completion}
  - {id: archive, match: "GET /v1/archive/{path...}", upstream: api, price: 3.00 USD, description: A day in the archive, pass: {for: 24h}}
  - {id: quotes, match: "GET /v1/quotes/{id}", upstream: api, price: 0.01 USD, description: One quote, credit: {pack: 1.00 USD}}
  - {match: "GET /health", upstream: api, free: true}
shop:
  catalog: catalog.yaml
  platforms: {loopback: true}
log: {level: error}
service: {title: Demo API, description: Market reports and completions, categories: [data]}
`

func startDemo(ctx context.Context, p *Process, dir string) (*demo, error) {
	d := &demo{p: p, dir: dir, served: &atomic.Int64{}, ended: make(chan error, 3)}
	ports, err := demoPorts(ctx)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(ports))
	for i, l := range ports {
		addrs[i] = l.Addr().String()
	}
	d.public, d.admin, d.play, d.api = "http://"+addrs[0], addrs[1], "http://"+addrs[2], "http://"+addrs[3]

	d.sandbox, err = sandbox.New(sandbox.Config{BaseURL: d.play, Profile: demoProfile, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	d.stops = append(d.stops, d.sandbox.Close)
	d.host(ports[2], d.sandbox.Handler())
	d.host(ports[3], d.sampleAPI())
	d.person = ports[4]
	d.stops = append(d.stops, func() { _ = d.person.Close() })
	// The server opens its own two ports.
	if err := errors.Join(ports[0].Close(), ports[1].Close()); err != nil {
		return nil, fmt.Errorf("ports: %w", err)
	}
	quiet := *p
	quiet.Stdout, quiet.Stderr = io.Discard, io.Discard
	if err := (&keysNewCmd{Dir: dir, Algorithm: "ES256"}).Run(&quiet); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "paywall.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, demoConfig, addrs[0], addrs[1], addrs[2], addrs[3]), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "catalog.yaml"), []byte(demoCatalog), 0o600); err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	return d, d.serve(ctx, &quiet, file)
}

func (d *demo) serve(ctx context.Context, quiet *Process, file string) error {
	cfg, err := config.Load(file, quiet.Getenv)
	if err != nil {
		return err //nolint:wrapcheck // it names file and line
	}
	t, err := newObservers(ctx, cfg, quiet)
	if err != nil {
		return err
	}
	d.server, err = newServer(ctx, cfg, file, quiet, t)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d.ended <- d.server.run(running, func() { close(ready) })
	}()
	d.stops = append(d.stops, func() { stop(); <-done; t.close() }) //nolint:contextcheck // the last spans leave after the context has ended
	select {
	case <-ready:
		return nil
	case err := <-d.ended:
		return err
	}
}

func (d *demo) close() {
	for _, stop := range slices.Backward(d.stops) {
		stop()
	}
}

// demoPorts are 4020 to 4024 or, where one is taken, the next that are free.
func demoPorts(ctx context.Context) ([]net.Listener, error) {
	var ports []net.Listener
	next := 4020
	for len(ports) < 5 {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", next))
		if next++; err != nil {
			if next > 4420 {
				return nil, fmt.Errorf("no free port from 4020 on: %w", err)
			}
			continue
		}
		ports = append(ports, l)
	}
	return ports, nil
}

func (d *demo) host(l net.Listener, h http.Handler) {
	hs := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = hs.Serve(l) }()
	d.stops = append(d.stops, func() { _ = hs.Close() })
}

// sampleAPI is what the seller sells.
func (d *demo) sampleAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"ok"}`) })
	mux.HandleFunc("GET /v1/reports/{id}", func(w http.ResponseWriter, r *http.Request) {
		d.served.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"report\":%q,\"market\":\"copper\",\"outlook\":\"demand grows faster than supply\"}\n", r.PathValue("id"))
	})
	mux.HandleFunc("POST /v1/complete", func(w http.ResponseWriter, r *http.Request) {
		d.served.Add(1)
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"completion\":\"%d bytes of prompt, well said\"}\n", len(body))
	})
	mux.HandleFunc("GET /v1/quotes/{id}", func(w http.ResponseWriter, r *http.Request) {
		d.served.Add(1)
		fmt.Fprintf(w, "quote %s\n", r.PathValue("id"))
	})
	mux.HandleFunc("GET /v1/archive/{path...}", func(w http.ResponseWriter, r *http.Request) {
		d.served.Add(1)
		fmt.Fprintf(w, "archive of %s\n", r.PathValue("path"))
	})
	return mux
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.p.Stdout, format+"\n", args...) }

// demoWidth is that of a terminal that was never made wider.
const demoWidth = 80

// more continues what somebody said, in lines below it. A word is never broken:
// some are addresses.
func (d *demo) more(text string) {
	const indent = "           "
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > demoWidth {
			d.say("%s", line)
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	d.say("%s", line)
}

func (d *demo) chapter(n int, title string) { d.say("\n%d. %s\n", n, title) }

// tell plays the story. Everything it claims it has looked at.
func (d *demo) tell(ctx context.Context) error {
	d.say("paywall demo: an agent pays for API requests. %s", sandbox.Notice)
	agent, link, err := d.agent()
	if err != nil {
		return err
	}
	d.chapter(1, "An agent connects to its owner's Link wallet")
	if err := d.login(ctx, link); err != nil {
		return err
	}
	d.chapter(2, "It asks for a report that costs 1.00 USD, and pays for it")
	report, err := d.buy(ctx, agent, d.public+"/v1/reports/7", "")
	if err != nil {
		return err
	}
	first, err := d.verify(ctx, report)
	if err != nil {
		return err
	}
	d.chapter(3, "Another agent pays for the same report with a stablecoin, over x402")
	second, err := d.buyByKey(ctx)
	if err != nil {
		return err
	}
	d.sideBySide(first, second)
	d.chapter(4, "The first agent pays for a POST, and the processor's answer is lost on the way")
	if _, err := d.sandbox.Order(sandbox.Fault{Kind: sandbox.DropAfter, Path: "/v1/payment_intents", Method: http.MethodPost, Count: 1}); err != nil {
		return fmt.Errorf("order a fault: %w", err)
	}
	d.say("   (the sandbox will charge the card, and cut the connection before it answers)")
	if _, err := d.buy(ctx, agent, d.public+"/v1/complete", `{"prompt":"Say something about copper."}`); err != nil {
		return err
	}
	d.chapter(5, "It buys a day in the archive from the seller's shop, over UCP")
	if err := d.shop(ctx, agent); err != nil {
		return err
	}
	d.shopping = false
	d.chapter(6, "It buys credit for quotes at a cent each, and spends it")
	if err := d.credit(ctx, agent); err != nil {
		return err
	}
	d.chapter(7, "The books")
	return d.books(ctx)
}

// agent is a client with a wallet and a spending policy. Its exchanges are
// printed; the owner of the wallet approves what is asked.
func (d *demo) agent() (*http.Client, *wallet.LinkClient, error) {
	link, err := wallet.NewLinkClient(wallet.LinkConfig{
		BaseURL: d.play, AuthURL: d.play, Tokens: wallet.NewMemoryTokens(wallet.Tokens{}), Label: "demo agent",
		Interval: 50 * time.Millisecond, Polls: 200,
		Show: func(_ context.Context, s wallet.SpendRequest) {
			if s.ApprovalURL == "" {
				return
			}
			d.say("   wallet: asks its owner to spend %s at %s", s.Amount, s.NetworkID)
			d.more("why: " + strings.TrimSpace(s.Context))
			d.more("decided at " + s.ApprovalURL)
			if err := d.sandbox.Wallet().Approve(s.ID); err == nil {
				d.say("   owner:  approves")
				if !d.shopping {
					d.say("   agent:  asks once more, as the first offer may have run out by now")
				}
			}
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("wallet: %w", err)
	}
	limit, err := money.ParsePrice("5.00 USD")
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // a constant
	}
	day, err := money.ParsePrice("10.00 USD")
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // a constant
	}
	t, err := wallet.NewTransport(wallet.Config{
		Base: &narrator{d: d, next: &http.Transport{}}, Wallet: link, Test: true,
		Policy: wallet.Policy{PerPayment: wallet.Limits{limit}, PerDay: wallet.Limits{day}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("agent: %w", err)
	}
	return &http.Client{Transport: t}, link, nil
}

func (d *demo) login(ctx context.Context, link *wallet.LinkClient) error {
	in, err := link.StartLogin(ctx)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	d.say("   agent:  asks its owner to open")
	d.more(in.CompleteURL)
	if err := d.sandbox.Wallet().Connect(in.Code, true); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	d.say("   owner:  confirms the code %s", in.Code)
	if err := link.FinishLogin(ctx, in); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return nil
}

// bought is an answer with its receipt.
type bought struct{ token string }

func (d *demo) buy(ctx context.Context, agent *http.Client, url, body string) (bought, error) {
	before := d.served.Load()
	method := http.MethodGet
	var payload io.Reader = http.NoBody
	if body != "" {
		method, payload = http.MethodPost, strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return bought{}, fmt.Errorf("request: %w", err)
	}
	resp, err := agent.Do(req)
	if err != nil {
		return bought{}, fmt.Errorf("pay for %s: %w", url, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return bought{}, fmt.Errorf("read the answer: %w", err)
	}
	result, ok := wallet.ResultOf(resp)
	if resp.StatusCode != http.StatusOK || !ok || result.Reference() == "" || result.ReceiptToken.Reveal() == "" {
		return bought{}, fmt.Errorf("%s answered %s without a receipt", url, resp.Status)
	}
	if n := d.served.Load() - before; n != 1 {
		return bought{}, fmt.Errorf("the API worked %d times for one payment", n)
	}
	d.say("   agent:  has paid %s (%s) and has its answer", result.Amount, shorten(result.Reference(), 27))
	d.more(strings.TrimSpace(string(answer)))
	return bought{token: result.ReceiptToken.Reveal()}, nil
}

// verify checks the receipt from the published keys alone, as anyone could.
func (d *demo) verify(ctx context.Context, b bought) (receipts.Claims, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.public+"/.well-known/jwks.json", http.NoBody)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("fetch the keys: %w", err)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("fetch the keys: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("fetch the keys: %w", err)
	}
	keys, err := receipts.ParsePublished(data)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("read the keys: %w", err)
	}
	v, err := receipts.NewVerifier(receipts.VerifierConfig{Keys: keys.Keys, Issuer: d.public, Audience: d.server.cfg.Realm, Host: keys.Host})
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("verifier: %w", err)
	}
	claims, err := v.Verify(b.token)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("the receipt: %w", err)
	}
	d.say("   anyone: verifies the receipt with the seller's public keys:")
	d.more(fmt.Sprintf("%s paid for %s %s", claims.Amount, claims.Scope.Method, claims.Scope.Target))
	return claims, nil
}

// buyByKey pays from a key of its own, which the sandbox's chain gives money to play with.
func (d *demo) buyByKey(ctx context.Context) (receipts.Claims, error) {
	key, err := evm.NewKey(rand.Reader)
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("payer: %w", err)
	}
	keys, err := wallet.NewKeyWallet(wallet.KeyConfig{Key: key})
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("payer: %w", err)
	}
	limit, err := money.ParsePrice("5.00 USD")
	if err != nil {
		return receipts.Claims{}, err //nolint:wrapcheck // a constant
	}
	t, err := wallet.NewTransport(wallet.Config{
		Base: &narrator{d: d, next: &http.Transport{}, x402: true}, Stablecoins: keys,
		Policy: wallet.Policy{PerPayment: wallet.Limits{limit}, PerDay: wallet.Limits{limit}, AskAbove: wallet.Limits{limit}},
	})
	if err != nil {
		return receipts.Claims{}, fmt.Errorf("agent: %w", err)
	}
	b, err := d.buy(ctx, &http.Client{Transport: t}, d.public+"/v1/reports/7", "")
	if err != nil {
		return receipts.Claims{}, err
	}
	return d.verify(ctx, b)
}

// sideBySide shows that one kind of receipt comes from both protocols.
func (d *demo) sideBySide(mpp, x402 receipts.Claims) {
	d.say("\n   The two receipts:\n")
	t := newTable(d.p.Stdout, "  ", "by MPP", "by x402")
	for _, row := range [][3]string{
		{"paid", mpp.Amount.String(), x402.Amount.String()},
		{"method", mpp.Method, x402.Method},
		{"network", mpp.Network, x402.Network},
		{"payer", shorten(mpp.Payer, 24), shorten(x402.Payer, 24)},
		{"reference", shorten(mpp.Reference, 24), shorten(x402.Reference, 24)},
		{"for", mpp.Scope.Method + " " + mpp.Scope.Target, x402.Scope.Method + " " + x402.Scope.Target},
	} {
		t.row("   "+row[0], row[1], row[2])
	}
	_ = t.flush()
}

// books compares paywall's ledger with what the processor really did.
func (d *demo) books(ctx context.Context) error {
	report, err := d.closedBooks(ctx)
	if err != nil {
		return err
	}
	audit := d.sandbox.Audit()
	revenue, charged, captured := report.Balances["revenue USD/2"], audit.Totals.Charges, audit.Totals.Captured["usd"]
	d.say("   ledger: %d payments, %d entries, %d broken invariants, revenue %d cents", report.Payments, report.Entries, len(report.Breaks), -revenue)
	d.say("   card:   charged %d times, %d cents in all", charged, captured)
	sold, used := -report.Balances["liability:credits USD/2"], report.Balances["receivable:credit USD/5"]
	d.say("   credit: %d cents were sold, %d.%03d of them are used", sold, used/1000, used%1000)
	coins, received := -report.Balances["revenue USDC/6"], d.sandbox.Facilitator().Received(demoNetwork, demoPayee)
	var units int64
	for _, tr := range received {
		units += tr.Amount().Int64()
	}
	d.say("   chain:  %d transfer to the seller, %d.%06d USDC", len(received), units/1e6, units%1e6)
	if len(report.Breaks) > 0 || report.Payments != 5+demoQuotes || charged != 4 || captured != sold-revenue || used != 1000*demoQuotes || len(received) != 1 || units != coins {
		return errors.New("ledger, processor and chain disagree")
	}
	d.say("   Every charge was delivered once, also the one whose answer was lost.")
	return nil
}

// closedBooks waits for the last delivery to be entered: an agent has its answer
// a moment before the books say so.
func (d *demo) closedBooks(ctx context.Context) (payment.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		report, err := payment.Audit(ctx, d.server.store, d.server.processor.Now(), auditGrace)
		if err != nil {
			return payment.Report{}, fmt.Errorf("audit: %w", err)
		}
		if report.Balances[payment.AccountUndelivered+" USD/2"] == 0 && report.Balances[payment.AccountUndelivered+" USDC/6"] == 0 && report.Balances[payment.AccountUndelivered+" USD/5"] == 0 {
			return report, nil
		}
		select {
		case <-ctx.Done():
			return report, errors.New("a paid request was not entered as delivered")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *demo) invite() {
	d.say("\nIt is all still running; Ctrl-C ends it.\n")
	t := newTable(d.p.Stdout, "   paywall", d.public)
	t.row("   operations", "http://"+d.admin)
	t.row("   sandbox", d.play)
	t.row("   sample API", d.api)
	_ = t.flush()
	self := os.Args[0]
	d.say("\nIn another terminal, see a 402:\n\n   curl -i %s/v1/reports/7\n", d.public)
	d.say("Pay for it, and approve it on the wallet page at %s/wallet:\n", d.play)
	d.say("   export LINK_API_BASE_URL=%s LINK_ACCESS_TOKEN=sandbox", d.play)
	d.say("   %s pay %s/v1/reports/7\n", self, d.public)
	d.say("Or pay with a stablecoin, from a key:\n")
	d.say("   %s keys payer payer.key", self)
	d.say("   %s pay --wallet key --key-file payer.key %s/v1/reports/7\n", self, d.public)
	d.say("Buy a day in the archive from the shop:\n")
	d.say("   %s shop search %s archive", self, d.public)
	d.say("   %s shop buy %s archive-day --email ada@example.com --country US\n", self, d.public)
	d.say("Check the books:\n\n   %s ledger verify -c %s", self, filepath.Join(d.dir, "paywall.yaml"))
}

// narrator prints what travels between agent and seller.
type narrator struct {
	d    *demo
	next http.RoundTripper
	x402 bool // which protocol's fields are told
}

// RoundTrip implements [http.RoundTripper].
func (n *narrator) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.d.hushed {
		return n.next.RoundTrip(r) //nolint:wrapcheck // the agent's own error
	}
	n.d.say("   agent:  %s %s", r.Method, r.URL.RequestURI())
	for _, name := range []string{"Authorization", "PAYMENT-SIGNATURE"} {
		if v := r.Header.Get(name); v != "" {
			n.d.say("           %s: %s…", name, v[:min(len(v), 40)])
		}
	}
	resp, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // the agent's own error
	}
	n.d.say("   seller: %s", resp.Status)
	fields := []string{"WWW-Authenticate", "Retry-After", "Payment-Receipt", "Paywall-Receipt", "Paywall-Credit"}
	if n.x402 {
		fields = []string{"PAYMENT-REQUIRED", "Retry-After", "PAYMENT-RESPONSE", "Paywall-Receipt"}
	}
	for _, name := range fields {
		for _, v := range resp.Header.Values(name) {
			n.d.say("           %s", shorten(name+": "+v, demoWidth-12))
		}
	}
	return resp, nil
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

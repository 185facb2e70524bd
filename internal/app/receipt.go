package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"paywall/internal/testhook"
	"paywall/receipts"
)

type receiptCmd struct {
	Verify receiptVerifyCmd `cmd:"" help:"Verify a receipt from its issuer's published keys."`
	Show   receiptShowCmd   `cmd:"" help:"Show what a receipt says, without believing it."`
}

type receiptVerifyCmd struct {
	Receipt  string `arg:"" help:"The receipt, a file that holds it, or - for standard input."`
	Keys     string `help:"A saved jwks.json or did.json; without it the issuer's is fetched."`
	Issuer   string `help:"Who must have issued it, such as https://api.example.com." required:""`
	Audience string `help:"The realm it must be for; by default the issuer's host."`
	JSON     bool   `help:"Print JSON."`
}

// Run verifies. Nothing but the issuer's keys is asked for, and with --keys nothing at all.
func (c *receiptVerifyCmd) Run(ctx context.Context, p *Process) error {
	token, err := readToken(p, c.Receipt)
	if err != nil {
		return err
	}
	origin, err := url.Parse(c.Issuer)
	if err != nil || origin.Host == "" {
		return exitWith(exitUsage, errors.New("--issuer must be an origin such as https://api.example.com"))
	}
	data, err := c.published(ctx)
	if err != nil {
		return err
	}
	keys, err := receipts.ParsePublished(data)
	if err != nil {
		return fmt.Errorf("the issuer's keys: %w", err)
	}
	if c.Audience == "" {
		c.Audience = origin.Hostname()
	}
	v, err := receipts.NewVerifier(receipts.VerifierConfig{
		Keys: keys.Keys, Issuer: c.Issuer, Audience: c.Audience, Host: keys.Host, CacheSize: -1, Now: testhook.Now(),
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	claims, err := v.Verify(token)
	if err != nil {
		return fmt.Errorf("not valid: %w", err)
	}
	if c.JSON {
		return printJSON(p, claimsView(claims))
	}
	fmt.Fprintln(p.Stdout, "valid: signed by", plainText(claims.Issuer))
	return printClaims(p, claims)
}

func (c *receiptVerifyCmd) published(ctx context.Context) ([]byte, error) {
	if c.Keys != "" {
		data, err := os.ReadFile(c.Keys)
		if err != nil {
			return nil, fmt.Errorf("read the issuer's keys: %w", err)
		}
		return data, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Issuer, "/")+"/.well-known/jwks.json", http.NoBody)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--issuer: %w", err))
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the issuer's keys: %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 256<<10))
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	return data, nil
}

// readToken takes a receipt as it is, from a file, or from standard input.
func readToken(p *Process, arg string) (string, error) {
	var data []byte
	var err error
	switch {
	case arg == "-":
		data, err = io.ReadAll(io.LimitReader(p.Stdin, 64<<10))
	case strings.Count(arg, ".") == 2 && strings.HasPrefix(arg, "ey"):
		return arg, nil
	default:
		data, err = os.ReadFile(arg)
	}
	if err != nil {
		return "", fmt.Errorf("read the receipt: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

type receiptShowCmd struct {
	Receipt string `arg:"" help:"The receipt, a file that holds it, or - for standard input."`
	JSON    bool   `help:"Print JSON."`
}

// Run shows.
func (c *receiptShowCmd) Run(p *Process) error {
	token, err := readToken(p, c.Receipt)
	if err != nil {
		return err
	}
	u, err := receipts.Show(token)
	if err != nil {
		return fmt.Errorf("read the receipt: %w", err)
	}
	if c.JSON {
		return printJSON(p, map[string]any{"verified": false, "alg": u.Algorithm, "kid": u.KeyID, "typ": u.Type, "claims": claimsView(u.Claims)})
	}
	fmt.Fprintf(p.Stdout, "not verified: says that %s signed it with key %s\n", plainText(u.Claims.Issuer), plainText(u.KeyID))
	return printClaims(p, u.Claims)
}

func claimsView(c receipts.Claims) map[string]any {
	use := map[string]any{"kind": c.Use.Kind}
	if c.Use.N > 0 {
		use["n"] = c.Use.N
	}
	if !c.Use.Until.IsZero() {
		use["until"] = day(c.Use.Until)
	}
	return map[string]any{
		"issuer": c.Issuer, "audience": c.Audience, "payment": c.PaymentID, "id": c.ID,
		"issued_at": day(c.IssuedAt), "expires": day(c.Expires), "amount": c.Amount.String(), "method": c.Method,
		"reference": c.Reference, "use": use, "network": c.Network, "payer": c.Payer, "resource": c.ResourceURL,
		"scope": map[string]string{"route": c.Scope.Route, "method": c.Scope.Method, "target": c.Scope.Target, "digest": c.Scope.Digest},
	}
}

func printClaims(p *Process, c receipts.Claims) error {
	t := newTable(p.Stdout, "payment", c.PaymentID)
	t.row("amount", c.Amount.String())
	t.row("paid by", c.Method+" "+c.Reference)
	t.row("for", c.Scope.Method+" "+c.ResourceURL)
	t.row("issued", day(c.IssuedAt))
	t.row("expires", day(c.Expires))
	use := string(c.Use.Kind)
	switch {
	case c.Use.N > 0:
		use = fmt.Sprintf("%d more requests", c.Use.N)
	case !c.Use.Until.IsZero():
		use = "any number of requests until " + day(c.Use.Until)
	case c.Use.Kind == receipts.Once:
		use = "collecting this request, once"
	}
	t.row("opens", use)
	return t.flush()
}

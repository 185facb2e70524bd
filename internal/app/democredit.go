package app

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"paywall/wallet"
)

// demoQuotes is how many requests the pack of the demo pays for.
const demoQuotes = 100

// credit buys a pack with a request for a cent, and spends it to the last one.
func (d *demo) credit(ctx context.Context, agent *http.Client) error {
	before := d.served.Load()
	left := ""
	for n := 1; n <= demoQuotes; n++ {
		d.hushed = n > 2
		if n == 3 {
			d.say("   agent:  goes on until nothing is left")
		}
		result, err := d.quote(ctx, agent, n)
		if err != nil {
			return err
		}
		if result.Presented != (n == 1) {
			return fmt.Errorf("request %d was paid for: %t", n, result.Presented)
		}
		left = result.Credit
	}
	d.hushed = false
	if n := d.served.Load() - before; n != demoQuotes {
		return fmt.Errorf("the API worked %d times for %d requests", n, demoQuotes)
	}
	d.say("   agent:  has had %d quotes for one payment", demoQuotes)
	d.more("Paywall-Credit: " + left)
	return nil
}

func (d *demo) quote(ctx context.Context, agent *http.Client, n int) (wallet.Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/quotes/%d", d.public, n), http.NoBody)
	if err != nil {
		return wallet.Result{}, fmt.Errorf("request: %w", err)
	}
	resp, err := agent.Do(req)
	if err != nil {
		return wallet.Result{}, fmt.Errorf("quote %d: %w", n, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil || resp.StatusCode != http.StatusOK {
		return wallet.Result{}, fmt.Errorf("quote %d was answered %s: %w", n, resp.Status, err)
	}
	result, _ := wallet.ResultOf(resp)
	return result, nil
}

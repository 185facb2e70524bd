package wallet

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"paywall/mpp"
)

// Credit keeps receipts that spend prepaid credit, each at one host for one of its
// routes. Implementations are safe for concurrent use.
type Credit interface {
	// Keep stores a receipt, once however often it is called.
	Keep(ctx context.Context, host, route string, receipt Secret) error
	// Receipts returns those of a host and route.
	Receipts(ctx context.Context, host, route string) ([]Secret, error)
	// Drop forgets one.
	Drop(ctx context.Context, host, route string, receipt Secret) error
}

// MemoryCredit is [Credit] in memory. The zero value is empty.
type MemoryCredit struct {
	mu   sync.Mutex // guards kept
	kept map[string][]Secret
}

// Keep implements [Credit].
func (m *MemoryCredit) Keep(_ context.Context, host, route string, receipt Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string][]Secret{}
	}
	if at := host + "\n" + route; !slices.Contains(m.kept[at], receipt) {
		m.kept[at] = append(m.kept[at], receipt)
	}
	return nil
}

// Receipts implements [Credit].
func (m *MemoryCredit) Receipts(_ context.Context, host, route string) ([]Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kept[host+"\n"+route]), nil
}

// Drop implements [Credit].
func (m *MemoryCredit) Drop(_ context.Context, host, route string, receipt Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := host + "\n" + route
	m.kept[at] = slices.DeleteFunc(slices.Clone(m.kept[at]), func(s Secret) bool { return s == receipt })
	return nil
}

// DirCredit is [Credit] of one file per receipt, mode 0600, in a directory that is the
// owner's alone. Any number of processes may share it.
type DirCredit struct{ dir string }

// OpenCredit makes the directory with mode 0700 if it is not there. One that others may
// use is [ErrFile].
func OpenCredit(dir string) (*DirCredit, error) {
	if _, err := OpenJournal(dir); err != nil {
		return nil, fmt.Errorf("credit: %w", err)
	}
	return &DirCredit{dir}, nil
}

const creditSuffix = ".jwt"

func creditName(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

func (d *DirCredit) path(host, route string, receipt Secret) string {
	return filepath.Join(d.dir, creditName(host+"\n"+route)+"."+creditName(receipt.Reveal())+creditSuffix)
}

// Keep implements [Credit].
func (d *DirCredit) Keep(_ context.Context, host, route string, receipt Secret) error {
	if err := writePrivate(d.path(host, route, receipt), []byte(receipt.Reveal()+"\n")); err != nil {
		return fmt.Errorf("credit: %w", err)
	}
	return nil
}

// Receipts implements [Credit].
func (d *DirCredit) Receipts(_ context.Context, host, route string) ([]Secret, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("credit: %w", err)
	}
	var out []Secret
	prefix := creditName(host+"\n"+route) + "."
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), creditSuffix) {
			continue
		}
		data, err := readPrivate(filepath.Join(d.dir, e.Name()), maxReceiptToken+1)
		if err != nil {
			return nil, fmt.Errorf("credit: %w", err)
		}
		if token := strings.TrimSpace(string(data)); isToken(token) {
			out = append(out, Secret(token))
		}
	}
	return out, nil
}

// Drop implements [Credit].
func (d *DirCredit) Drop(_ context.Context, host, route string, receipt Secret) error {
	if err := os.Remove(d.path(host, route, receipt)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("credit: %w", err)
	}
	return nil
}

// creditOf returns the receipt of an answer and its route, if it spends credit. It is
// read and not verified: it is shown to nobody but the host that gave it.
func creditOf(h http.Header) (receipt Secret, route string, ok bool) {
	token := h.Get(receiptField)
	if !isToken(token) {
		return "", "", false
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := mpp.DecodeBase64(payload)
	if err != nil {
		return "", "", false
	}
	var claims struct {
		Use   struct{ Kind string }
		Scope struct{ Route string }
	}
	if json.Unmarshal(data, &claims) != nil || claims.Use.Kind != "credit" || claims.Scope.Route == "" || len(claims.Scope.Route) > 64 {
		return "", "", false
	}
	return Secret(token), claims.Scope.Route, true
}

// earn keeps the receipt of an answer that spends credit.
func (t *Transport) earn(ctx context.Context, r *replay, h http.Header) (route string, ok bool, err error) {
	receipt, route, ok := creditOf(h)
	if !ok || t.cfg.Credit == nil {
		return "", false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	return route, true, t.cfg.Credit.Keep(ctx, hostOf(r), route, receipt)
}

// hostOf is where a receipt is good: another port is another seller.
func hostOf(r *replay) string { return strings.ToLower(r.req.URL.Host) }

// spend answers a request with credit that is kept for the route; nil when there is
// none, or not enough.
func (t *Transport) spend(ctx context.Context, r *replay, route string) (*http.Response, error) {
	if t.cfg.Credit == nil || route == "" || !secure(r.req.URL) || len(r.req.Header.Values(authorization)) > 0 {
		return nil, nil //nolint:nilnil // it is paid for then
	}
	kept, err := t.cfg.Credit.Receipts(ctx, hostOf(r), route)
	if err != nil {
		return nil, fmt.Errorf("credit: %w", err)
	}
	for _, receipt := range kept {
		req := r.copy(ctx)
		req.Header.Set(authorization, "Bearer "+receipt.Reveal())
		if req.Header.Get("Idempotency-Key") == "" {
			req.Header.Set("Idempotency-Key", t.cfg.NewID()) // the transport below may send it again
		}
		resp, err := t.cfg.Base.RoundTrip(req)
		if err != nil {
			return nil, fmt.Errorf("spend credit: %w", err)
		}
		if resp.StatusCode != http.StatusPaymentRequired {
			return attach(resp, r.req, Result{Credit: resp.Header.Get(creditField)}), nil
		}
		drain(resp)
		if t.spentUp(ctx, r, receipt) {
			if err := t.cfg.Credit.Drop(ctx, hostOf(r), route, receipt); err != nil {
				return nil, err //nolint:wrapcheck // it says what it did
			}
		}
	}
	return nil, nil //nolint:nilnil // it is paid for then
}

// spentUp reports whether the seller says that nothing is left on a receipt. What it
// does not say so of is kept: it may be enough for a cheaper request.
func (t *Transport) spentUp(ctx context.Context, r *replay, receipt Secret) bool {
	u := *r.req.URL
	u.User, u.Path, u.RawPath, u.RawQuery, u.Fragment, u.RawFragment = nil, "/payments/credit", "", "", "", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return false
	}
	req.Header.Set(authorization, "Bearer "+receipt.Reveal())
	resp, err := t.cfg.Base.RoundTrip(req)
	if err != nil {
		return false
	}
	defer closeBody(resp)
	if resp.StatusCode == http.StatusNotFound {
		return true // it spends nothing
	}
	var b struct{ Left struct{ Value string } }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxProblem)).Decode(&b) != nil {
		return false
	}
	return b.Left.Value != "" && strings.Trim(b.Left.Value, "0.") == ""
}

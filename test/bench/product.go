package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"paywall/mpp"
)

// product is the built binary with a configuration whose limits are open.
type product struct {
	binary, dir string
	api         string
	processor   string
	facilitator string
	profiles    string
	// v1 says that challenges of x402 are given in version 1, too.
	v1 bool
	// more is what else the configuration says, and files are what it refers to.
	more  string
	files map[string]string
}

// with is the same product with more in its configuration.
func (p *product) with(more string, files map[string]string) *product {
	other := *p
	other.more, other.files = more, files
	return &other
}

const configuration = `listen: %[1]s
admin: {listen: %[2]s}
store: sqlite:bench.db
keys: {challenge: "file:challenge.key", receipts: "file:receipts.pem"}
methods:
  stripe: {key: sk_test_bench, profile: ` + profile + `, base_url: "http://%[3]s"}
  facilitator: {network: "` + network + `", pay_to: "` + payee + `", url: "http://%[6]s"}
x402: {v1: %[7]t, link_tokens: {offer: off}}
upstreams:
  api: {url: "http://%[4]s"}
routes:
  - {match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD, description: One market report, pass: {for: 1h}, methods: [stripe]}
  - {match: "GET /v1/both/{id}", upstream: api, price: 1.00 USD, description: One market report}
  - {match: "/v1/coins/{id}", upstream: api, price: 1.00 USD, description: One market report, methods: [facilitator]}
  - {match: "GET /v1/calls/{id}", upstream: api, price: 0.01 USD, methods: [stripe], credit: {pack: 9000.00 USD}}
  - {match: GET /v1/stream, upstream: api, price: 1.00 USD, methods: [stripe]}
  - {match: GET /v1/open, upstream: api, free: true}
limits:
  challenges_per_second: 100000000
  burst: 100000000
  failed_per_minute: 100000000
  connections: 8192
  connections_per_client: 8192
  in_flight: 512
  in_flight_per_client: 512
  queue: 512
log: {level: %[5]s}
`

func newProduct(ctx context.Context, root, profiles string, b *behind) (*product, error) {
	p := &product{binary: filepath.Join(root, "paywall"), dir: root, api: b.api, processor: b.processor, facilitator: b.facilitator, profiles: profiles, v1: true}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-trimpath", "-ldflags", "-s -w", "-o", p.binary, "paywall/cmd/paywall") //nolint:gosec // our own command
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	return p, nil
}

// start serves on so many processors of the scheduler, with a store of its own,
// and returns how long it took until /readyz said yes.
func (p *product) start(ctx context.Context, procs int, level string) (*process, time.Duration, error) {
	dir, err := os.MkdirTemp(p.dir, "serve")
	if err != nil {
		return nil, 0, fmt.Errorf("make a folder: %w", err)
	}
	keys := exec.CommandContext(ctx, p.binary, "keys", "new", "--dir", dir) //nolint:gosec // our own command
	if out, err := keys.CombinedOutput(); err != nil {
		return nil, 0, fmt.Errorf("keys: %w\n%s", err, out)
	}
	public, err1 := freeAddr()
	admin, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, 0, err
	}
	for name, text := range p.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, 0, fmt.Errorf("write %s: %w", name, err)
		}
	}
	file := filepath.Join(dir, "paywall.yaml")
	if err := os.WriteFile(file, append(fmt.Appendf(nil, configuration, public, admin, p.processor, p.api, level, p.facilitator, p.v1), p.more...), 0o600); err != nil {
		return nil, 0, fmt.Errorf("write the configuration: %w", err)
	}
	args := []string{"serve", "-c", file}
	name := p.binary
	if p.profiles != "" {
		if name, err = os.Executable(); err != nil {
			return nil, 0, fmt.Errorf("find this program: %w", err)
		}
		args = append([]string{"-role", "product", "-profiles", p.profiles}, args...)
	}
	s := start(ctx, dir, procs, name, args...)
	s.addr, s.admin = public, admin
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, 0, fmt.Errorf("make the log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	s.cmd.Stderr = log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("start paywall: %w", err)
	}
	for time.Since(began) < 20*time.Second {
		if ready(public) {
			return s, time.Since(began), nil
		}
		time.Sleep(time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return nil, 0, errors.Join(fmt.Errorf("paywall is not ready after 20 s:\n%s", said), s.stop())
}

func ready(addr string) bool {
	c, err := dial(addr)
	if err != nil {
		return false
	}
	defer c.Close() //nolint:errcheck // it was one question
	status, _, err := c.do(get("/readyz", addr))
	return err == nil && status == http.StatusOK
}

// buy pays for the target once and returns the head of the answer.
func buy(addr, target, token string) (http.Header, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	field, err := credential(c, addr, target, token)
	if err != nil {
		return nil, err
	}
	status, head, err := c.do(get(target, addr, "Authorization: "+field))
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the payment was answered with %d:\n%s", status, head)
	}
	return fields(head), nil
}

// credential asks for a challenge over c and answers it.
func credential(c *client, authority, target, token string) (string, error) {
	status, head, err := c.do(get(target, authority))
	if err != nil {
		return "", err
	}
	if status != http.StatusPaymentRequired {
		return "", fmt.Errorf("unpaid: %d, want 402", status)
	}
	cs, err := mpp.ParseChallenges(fields(head))
	if err != nil {
		return "", err //nolint:wrapcheck // it says what is wrong
	}
	cred, err := mpp.NewCredential(cs[0], []byte(`{"spt":"`+token+`"}`))
	if err != nil {
		return "", err //nolint:wrapcheck // it says what is wrong
	}
	return cred.Format() //nolint:wrapcheck // it says what is wrong
}

// fields reads a head that client has found whole.
func fields(head []byte) http.Header {
	h := http.Header{}
	for line := range strings.Lines(string(head)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); ok {
			h.Add(name, value)
		}
	}
	return h
}

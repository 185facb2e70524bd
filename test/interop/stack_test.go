package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	profile   = "profile_test_interop"
	secretKey = "sk_test_interop"
	// facilitatorToken is what another server shows that settles through us.
	facilitatorToken = "Fq7xT2mK9vLpZ4sWc8RbN3yHd6GjA1eU"
)

// A stack is paywall in front of a sample API, with the sandbox as processor.
type stack struct {
	public  string // where agents pay
	sandbox string // where tokens are minted and charges are kept
	served  *served
}

// served records what reached the sample API.
type served struct {
	mu   sync.Mutex // guards list
	list []string
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "read", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.list = append(s.list, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"method":%q,"path":%q,"body":%q}`, r.Method, r.URL.Path, body)
}

func (s *served) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

const config = `listen: %[1]s
public_url: http://%[1]s
admin: {listen: %[2]s}
store: sqlite:%[3]s/paywall.db
keys: {challenge: "file:%[3]s/challenge.key", receipts: "file:%[3]s/receipts.pem"}
methods:
  stripe: {key: %[4]s, profile: %[5]s, payment_method_types: [card, link], base_url: "%[6]s"}
  facilitator: {network: "eip155:84532", pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", url: "%[6]s/facilitator"}
x402:
  facilitator_clients: [{name: shop, token: %[8]s}]
upstreams:
  api: {url: "%[7]s"}
routes:
  - {match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD, description: One market report}
  - {match: "POST /v1/complete", upstream: api, price: 0.75 USD, description: One completion}
  - {match: "GET /health", upstream: api, free: true}
`

// cents are routes below the least that a card takes: only x402 pays for them.
const cents = `  - {match: "GET /v1/quotes/{id}", upstream: api, price: 0.01 USD, description: One quote}
  - {match: "POST /v1/words", upstream: api, price: 0.02 USD, description: A few words}
`

// start builds the binary and runs the stack until the test ends,
// with more routes than the usual.
func start(t *testing.T, more string) *stack {
	t.Helper()
	dir := t.TempDir()
	bin := build(t, dir, "paywall/cmd/paywall")
	s := &stack{served: &served{}}
	upstream := httptest.NewServer(s.served)
	t.Cleanup(upstream.Close)

	addrs := freeAddrs(t, 3)
	s.public, s.sandbox = "http://"+addrs[0], "http://"+addrs[2]
	writeKeys(t, dir)
	file := filepath.Join(dir, "paywall.yaml")
	text := fmt.Sprintf(config, addrs[0], addrs[1], dir, secretKey, profile, s.sandbox, upstream.URL, facilitatorToken) + more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, s.sandbox+"/_sandbox/audit", bin, "sandbox", "--listen", addrs[2])
	run(t, "http://"+addrs[0]+"/readyz", bin, "serve", "-c", file)
	return s
}

// build compiles a command of ours into dir and returns its path.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	bin := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return bin
}

// freeAddrs returns loopback addresses that were free a moment ago, all at once
// so that they differ.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func writeKeys(t *testing.T, dir string) {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"challenge.key": []byte(hex.EncodeToString(secret)),
		"receipts.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// run starts a server and waits until ready answers. It is stopped, and its
// output shown if the test failed, when the test ends.
func run(t *testing.T, ready, bin string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
			t.Errorf("%s %s did not stop within 10 s of SIGTERM", filepath.Base(bin), args[0])
		}
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(bin), strings.Join(args, " "), out.String())
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, ready) {
			t.Cleanup(stop)
			return
		}
		select {
		case err := <-done:
			t.Fatalf("%s %s ended: %v\n%s", filepath.Base(bin), strings.Join(args, " "), err, out.String())
		case <-ctx.Done():
			stop()
			t.Fatalf("%s is not ready after 20 s", ready)
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// needNode installs the clients once for each package-lock.json.
func needNode(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing, and these tests may not be skipped in CI", tool)
			}
			t.Skipf("notice: %s is missing, so the clients of other makers are not tested", tool)
		}
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", sha256.Sum256(lock))
	stamp := filepath.Join("node_modules", ".installed")
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	// Scripts of packages are not run: none of these needs one.
	if out, err := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// node runs a client with only the environment it needs, at most a minute long.
// It returns standard output and the exit status.
func (s *stack) node(t *testing.T, env []string, args ...string) (stdout string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir(),
		"NO_COLOR=1",
		"PROCESSOR_URL=" + s.sandbox,
		"MPPX_STRIPE_SECRET_KEY=" + secretKey,
		"MPPX_STRIPE_SPT_URL=" + s.sandbox + "/v1/test_helpers/shared_payment/granted_tokens",
	}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("node %s: no end after a minute\n%s%s", strings.Join(args, " "), out.String(), errs.String())
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Logf("node %s: %s", strings.Join(args, " "), errs.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

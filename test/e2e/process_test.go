package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a process writes, while the test reads it.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a command that goes on beside the test. It does not outlive it.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *output // both streams
	done chan struct{}
	shot bool // killed on purpose: what it wrote says nothing new
}

// environment is what every process gets; settings follow it and win.
func environment(home string, settings ...string) []string {
	path := filepath.Dir(release) + string(os.PathListSeparator) + os.Getenv("PATH")
	return append([]string{"PATH=" + path, "HOME=" + home, "NO_COLOR=1", "TMPDIR=" + os.TempDir()}, settings...)
}

// start runs bin in dir until the test ends at the latest.
func start(t *testing.T, dir string, env []string, bin string, args ...string) *process {
	t.Helper()
	p := &process{name: "paywall " + strings.Join(args, " "), out: &output{}, done: make(chan struct{})}
	p.cmd = exec.Command(bin, args...)
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in its state
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() && !p.shot {
			t.Logf("%s:\n%s", p.name, tail(p.out.String(), 6000))
		}
	})
	return p
}

func tail(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return "…" + s[len(s)-most:]
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended waits for the end of the process and returns how it came.
func (p *process) ended(t *testing.T, within time.Duration) syscall.WaitStatus {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%s is still running after %s", p.name, within)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("%s: no wait status", p.name)
	}
	return status
}

// stop ends the process as an operator does, and demands that it ends well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	if s := p.ended(t, 15*time.Second); s.ExitStatus() != 0 {
		t.Fatalf("%s: exit status %d after SIGTERM, want 0", p.name, s.ExitStatus())
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	p.shot = true
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	p.ended(t, 10*time.Second)
}

// result is what a command that came to its end left behind.
type result struct {
	code           int
	stdout, stderr string
}

// command runs bin to its end with the given standard input.
func command(t *testing.T, dir string, env []string, stdin, bin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, env, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("paywall %s: no end after a minute\n%s%s", strings.Join(args, " "), out.String(), errs.String())
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want demands an exit code and pieces of the output, either stream.
func (r result) want(t *testing.T, code int, pieces ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, piece := range pieces {
		if !strings.Contains(r.stdout+r.stderr, piece) {
			t.Fatalf("the output lacks %q\nstdout: %s\nstderr: %s", piece, r.stdout, r.stderr)
		}
	}
	return r
}

// oneLine demands that the command said one line on standard error.
func (r result) oneLine(t *testing.T) result {
	t.Helper()
	if n := strings.Count(strings.TrimRight(r.stderr, "\n"), "\n") + 1; r.stderr == "" || n != 1 {
		t.Fatalf("standard error has %d lines, want 1:\n%s", n, r.stderr)
	}
	return r
}

// freeAddrs returns n loopback addresses that were free a moment ago. They are
// below the range that the system gives to outgoing connections: while a server
// is down, a client must not come to hold its port.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for range 1000 {
		if len(addrs) == n {
			return addrs
		}
		addr := "127.0.0.1:" + strconv.Itoa(12_000+rand.IntN(20_000))
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		defer l.Close() // at the end, so that the addresses differ
		addrs = append(addrs, addr)
	}
	t.Fatal("no free ports")
	return nil
}

// plain is a client that keeps no connection: servers come and go here.
func plain() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       40 * time.Second,
	}
}

// await calls done until it is true, for at most the given time.
func await(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// get returns the body of a 200, or false.
func get(ctx context.Context, url string) ([]byte, bool) {
	status, body, err := fetch(ctx, url)
	return body, err == nil && status == http.StatusOK
}

func fetch(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	resp, err := plain().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, body, err
}

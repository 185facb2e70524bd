package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	addr string
	// admin is where its operator asks; only the product has one.
	admin string
}

// start runs a program on a number of processors of the scheduler.
func start(ctx context.Context, dir string, procs int, name string, args ...string) *process {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)} //nolint:gosec // the benchmark's own programs
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs))
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGKILL) }
	return p
}

// role runs this very program in one of its other roles, on one processor of the
// scheduler, and waits for its address.
func (b *bench) role(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if b.profiles != "" {
		args = append(args, "-profiles", b.profiles)
	}
	p := start(ctx, "", 1, self, args...)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[1], err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[1], err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", args[1], err), p.stop())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// stop lets it end by itself for a while.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait() // how it ended is nothing that was measured
	return nil
}

// cpu is the processor time that the process has used (clock_getcpuclockid(3)).
func (p *process) cpu() (time.Duration, error) {
	const processClock = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|processClock), &t); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is what the process has in RAM, in bytes, now and at most so far.
func (p *process) memory() (now int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("read the memory: unknown format")
}

// written is how many bytes the process asked the kernel to write to files, as
// far as they are not to sockets.
func (p *process) written() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read what was written: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read what was written: %w", err)
			}
			return n, nil
		}
	}
	return 0, errors.New("read what was written: unknown format")
}

// freeAddr is a loopback address that nobody has now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it blocks on nothing
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	addr := l.Addr().String()
	return addr, l.Close() //nolint:wrapcheck // nothing to add
}

// announce tells the parent where this role listens.
func announce(w io.Writer, l net.Listener) error {
	_, err := fmt.Fprintln(w, l.Addr())
	return err //nolint:wrapcheck // nothing to add
}

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The binaries are built once for all tests: release as it is shipped, and hooked
// with crash points and a clock that tests can move.
var release, hooked string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "paywall-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	release, hooked = filepath.Join(dir, "paywall"), filepath.Join(dir, "hooked", "paywall")
	for _, b := range []struct {
		out  string
		args []string
	}{
		{release, []string{"-ldflags", "-s -w -X main.version=v0.0.0-e2e"}},
		{hooked, []string{"-ldflags", "-X main.version=v0.0.0-hooked", "-tags", "testhooks"}},
	} {
		if err := build(b.out, b.args...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if !given("test.parallel") {
		// These tests mostly wait for other processes.
		if err := flag.Set("test.parallel", "6"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func build(out string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	args = append([]string{"build", "-trimpath", "-o", out}, args...)
	cmd := exec.CommandContext(ctx, "go", append(args, "paywall/cmd/paywall")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build paywall: %w\n%s", err, text)
	}
	return nil
}

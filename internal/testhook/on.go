//go:build testhooks

package testhook

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Point kills the process, as kill -9 does, at the nth passing of the point
// that PAYWALL_CRASH names, "<point>:<nth>".
func Point() func(name string) {
	point, nth, _ := strings.Cut(os.Getenv("PAYWALL_CRASH"), ":")
	n, err := strconv.ParseInt(nth, 10, 64)
	if point == "" || err != nil || n < 1 {
		return nil
	}
	var passed atomic.Int64
	return func(name string) {
		if name == point && passed.Add(1) == n {
			fmt.Fprintf(os.Stderr, "testhooks: crash at %s, passing %d\n", point, n)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
}

// Now is the real clock moved by what the file named by PAYWALL_CLOCK holds: a
// duration such as "23h" or "-2h", read again with every look.
func Now() func() time.Time {
	name := os.Getenv("PAYWALL_CLOCK")
	if name == "" {
		return time.Now
	}
	return func() time.Time {
		now := time.Now()
		b, err := os.ReadFile(name)
		if err != nil {
			return now
		}
		d, err := time.ParseDuration(strings.TrimSpace(string(b)))
		if err != nil {
			return now
		}
		return now.Add(d)
	}
}

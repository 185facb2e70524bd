// Command bench measures the built binary under load, as ratios to floors that
// run beside it: a bare gin handler, a tuned reverse proxy that does nothing
// else, and the same gate with its store in memory. Servers run as processes of
// their own; the load, the API and a processor and a facilitator that take no
// time run in this one. Floors and ours take turns, and each figure is the median
// of the rounds.
//
// Rates "per core" are requests per second of processor time that the server
// used, as the kernel counts it: a neighbour on the machine slows both sides of
// such a ratio down and changes neither.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"paywall/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	rounds int
	length time.Duration // of one sample
	many   int           // of a load that counts
	only   string
	root   string
	// profiles is a folder, or empty for none.
	profiles string
	behind   *behind
	product  *product
	figures  []figure
}

func run(ctx context.Context) error {
	quick := flag.Bool("quick", false, "fewer and shorter rounds: a look, not a measurement")
	only := flag.String("only", "", "one group: challenges, x402-challenges, receipts, payments, x402-payments, forged, streams, reload, unpaid, shop, credit, footprint")
	name := flag.String("role", "", "serve as a part of the measurement (used by this program itself)")
	var s settings
	flag.StringVar(&s.api, "api", "", "address of the API, for a role")
	flag.StringVar(&s.processor, "processor", "", "address of the processor, for a role")
	flag.StringVar(&s.facilitator, "facilitator", "", "address of the facilitator, for a role that is paid in stablecoins")
	flag.StringVar(&s.answer, "answer", "", "file with an answer, for the role that repeats it")
	flag.StringVar(&s.store, "store", "", "memory or sqlite, for a role")
	flag.StringVar(&s.dir, "dir", "", "folder of the store, for a role")
	flag.DurationVar(&s.delay, "delay", 0, "added to each commit, for a role")
	flag.IntVar(&s.offers, "offers", 0, "ways to pay, for a role")
	profiles := flag.String("profiles", "", "write a CPU profile of every server into this folder; the binary's code then runs in this program")
	flag.Parse()
	if *name != "" {
		return profiled(*profiles, *name, func() error {
			if *name == "product" {
				return serveProduct(flag.Args()) //nolint:contextcheck // the command minds its signals by itself
			}
			return serveRole(ctx, *name, s)
		})
	}
	if runtime.GOOS != "linux" {
		return errors.New("figures are read from /proc, so this runs on Linux only")
	}
	b := &bench{rounds: 5, length: time.Second, many: 4000, only: *only, profiles: *profiles}
	if *quick {
		b.rounds, b.length, b.many = 3, 250*time.Millisecond, 1000
	}
	return b.run(ctx)
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.root, err = os.MkdirTemp("", "bench"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.root)) }()
	if b.behind, err = newBehind(ctx); err != nil {
		return err
	}
	if b.product, err = newProduct(ctx, b.root, b.profiles, b.behind); err != nil {
		return err
	}
	began := time.Now()
	for _, g := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"challenges", b.challenges},
		{"x402-challenges", b.exchangeChallenges},
		{"receipts", b.receipts},
		{"payments", b.payments},
		{"x402-payments", b.exchangePayments},
		{"forged", b.forged},
		{"streams", b.streams},
		{"reload", b.reload},
		{"unpaid", b.unpaid},
		{"shop", b.shop},
		{"credit", b.credit},
		{"footprint", b.footprint},
	} {
		if b.only != "" && b.only != g.name {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", g.name)
		if err := g.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	_, err = fmt.Fprintf(os.Stdout, "%d cores, %s, %s/%s, %d rounds, %s\n\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.rounds, time.Since(began).Round(time.Second))
	return errors.Join(err, write(os.Stdout, b.figures))
}

// profiled runs a server and writes what its processor time went to, if dir is given.
func profiled(dir, name string, serve func() error) (err error) {
	if dir == "" {
		return serve()
	}
	f, err := os.Create(filepath.Join(dir, name+"-"+strconv.Itoa(os.Getpid())+".pprof"))
	if err != nil {
		return fmt.Errorf("make the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	defer func() {
		pprof.StopCPUProfile()
		err = errors.Join(err, f.Close())
	}()
	return serve()
}

// serveProduct is the command itself, in this program.
func serveProduct(args []string) error {
	code := app.Main(app.Process{
		Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Version: "bench",
	})
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

func (b *bench) add(f figure) { b.figures = append(b.figures, f) }

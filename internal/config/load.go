package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Load reads and checks the file at path. Paths in it are relative to its
// folder; env looks up environment variables, as os.LookupEnv does. Everything
// that is wrong with the content is in one [Errors].
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, cannot("find", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a plain file", shown(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cannot("read", path, err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, cannot("read", path, err)
	}
	return parse(data, path, filepath.Dir(path), env)
}

// Parse is [Load] for a file that was read, whose folder is dir.
func Parse(data []byte, dir string, env func(string) (string, bool)) (*Config, error) {
	return parse(data, "", dir, env)
}

func parse(data []byte, name, dir string, env func(string) (string, bool)) (*Config, error) {
	c := &checker{
		report: &report{file: name, lines: map[string]int{}},
		dir:    dir, env: env,
	}
	before := len(c.errs)
	(&decoder{c.report, maxBytes}).parse(data, &c.in)
	if len(c.lines) > 0 || len(c.errs) == before {
		// What could be read is checked too, so that one look finds all that is wrong.
		c.check()
	}
	if len(c.errs) > 0 {
		return nil, Errors(sorted(c.errs))
	}
	c.out.Warnings = sorted(c.warnings)
	c.out.file, c.out.lines = name, c.lines
	return &c.out, nil
}

// checker turns what was read into what is good, or says why it is not.
type checker struct {
	*report

	dir string
	env func(string) (string, bool)
	in  file
	out Config
	// stripeKey is known before the keys are judged: live keys ask for more.
	stripeKey string
}

func (c *checker) check() {
	c.server()
	c.store()
	c.methods()
	c.keys()
	c.x402()
	c.upstreams()
	c.times()
	c.limits()
	c.shop()
	c.routes()
	c.service()
	c.observing()
}

// missing reports a required key, unless it is there and was found wrong already.
func (c *checker) missing(path, advice string) {
	if !c.has(path) {
		c.fault(path, "is missing; %s", advice)
	}
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reference is a value, or where it is: env:NAME or file:PATH.
type reference string

func (*reference) kind() string { return "reference" }

func (r *reference) set(text string) error {
	*r = reference(text)
	return nil
}

// literal reports whether the value stands in the file itself.
func (r reference) literal() bool {
	return r != "" && !strings.HasPrefix(string(r), "env:") && !strings.HasPrefix(string(r), "file:")
}

const maxSecret = 64 << 10

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// resolve finds the value of a reference, without a trailing line break if it is
// text. It reports what is wrong, and ok is false then or when there is no reference.
func (c *checker) resolve(path string, r reference) (value string, ok bool) {
	var err error
	switch text := string(r); {
	case text == "":
		return "", false
	case strings.HasPrefix(text, "env:"):
		value, err = c.fromEnv(strings.TrimPrefix(text, "env:"))
	case strings.HasPrefix(text, "file:"):
		value, err = c.fromFile(path, strings.TrimPrefix(text, "file:"))
	default:
		return text, true
	}
	if err != nil {
		c.fault(path, "%v", err)
		return "", false
	}
	return trimLine(value), true
}

func (c *checker) fromEnv(name string) (string, error) {
	if !envName.MatchString(name) {
		return "", errors.New("env: is not followed by the name of an environment variable")
	}
	value, set := c.env(name)
	switch {
	case !set:
		return "", fmt.Errorf("the environment variable %s is not set; set it, or use file:PATH", name)
	case strings.TrimSpace(value) == "":
		return "", fmt.Errorf("the environment variable %s is empty", name)
	}
	return value, nil
}

func (c *checker) fromFile(path, name string) (string, error) {
	full, err := c.regular(name)
	if err != nil {
		return "", err
	}
	c.private(path, full)
	f, err := os.Open(full)
	if err != nil {
		return "", cannot("read", name, err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", cannot("read", name, err)
	case len(data) > maxSecret:
		return "", fmt.Errorf("the file %s is larger than 64KiB", shown(name))
	case strings.TrimSpace(string(data)) == "":
		return "", fmt.Errorf("the file %s is empty", shown(name))
	}
	return string(data), nil
}

// trimLine takes the line break from the end of text. Raw bytes may end in the
// same byte and keep it.
func trimLine(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(strings.TrimRight(s, "\r\n"), unicode.IsControl) {
		return s
	}
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}

// at joins a path of the file with the folder of the file.
func (c *checker) at(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(c.dir, name)
}

// regular finds a plain file: a pipe or a device would stop the start or never end.
func (c *checker) regular(name string) (string, error) {
	if name == "" {
		return "", errors.New("file: is not followed by a path")
	}
	full := c.at(name)
	info, err := os.Stat(full)
	switch {
	case err != nil:
		return "", cannot("find", name, err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a plain file", shown(name))
	}
	return full, nil
}

// private warns of a secret that others on the machine can read.
func (c *checker) private(path, full string) {
	if info, err := os.Stat(full); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.warn(path, "others on this machine can read %s; take that away with chmod 600", shown(filepath.Base(full)))
	}
}

// cannot drops the path that the system's error repeats.
func cannot(do, name string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot %s the file %s: %w", do, shown(name), err)
}

// shown is a path as it is, unless it cannot be printed.
func shown(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

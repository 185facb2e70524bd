package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const maxURL = 2048

// Errors of this package; test with [errors.Is].
var (
	ErrURL      = errors.New("not a URL that is called")
	ErrAddress  = errors.New("not an address of the public network")
	ErrRedirect = errors.New("it leads elsewhere")
	ErrTooLarge = errors.New("the answer is too large")
	ErrEncoding = errors.New("the answer is compressed")
	ErrBusy     = errors.New("too many calls at once")
)

// Check reads a URL and refuses what would not be called, before anything is
// looked up: only https to a name of the public kind, on a port that is allowed,
// without user and fragment. Errors wrap [ErrURL] or [ErrAddress].
func (c *Client) Check(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("longer than %d bytes: %w", maxURL, ErrURL)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' || r == '#' }) {
		return nil, fmt.Errorf("characters that a URL does not have: %w", ErrURL)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return nil, fmt.Errorf("it cannot be read: %w", ErrURL)
	}
	if u.User != nil {
		return nil, fmt.Errorf("it names a user: %w", ErrURL)
	}
	if c.cfg.Loopback && isLoopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https") {
		return u, nil
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("it is not https: %w", ErrURL)
	}
	if err := c.checkHost(u); err != nil {
		return nil, err
	}
	return u, nil
}

func (c *Client) checkHost(u *url.URL) error {
	port := 443
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != text {
			return fmt.Errorf("its port cannot be read: %w", ErrURL)
		}
		port = int(n)
	} else if strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("its port is missing: %w", ErrURL)
	}
	if !slices.Contains(c.cfg.Ports, port) {
		return fmt.Errorf("port %d is not called: %w", port, ErrAddress)
	}
	return checkName(u.Hostname())
}

// checkName takes names of at least two labels. Addresses are refused in every
// spelling that some resolver takes for one: the last label of a name is never a
// number.
func checkName(host string) error {
	if len(host) > 253 || !strings.Contains(host, ".") {
		return fmt.Errorf("its host is not a full name: %w", ErrAddress)
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("its host is not a name: %w", ErrURL)
		}
	}
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		return fmt.Errorf("its host is an address, not a name: %w", ErrAddress)
	}
	switch last {
	case "localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "test", "invalid", "onion", "arpa":
		return fmt.Errorf("its host is not of the public network: %w", ErrAddress)
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && (a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback())
}

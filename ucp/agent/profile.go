package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"paywall/internal/httpsig"
	"paywall/internal/strictjson"
	"paywall/ucp/protocol"
)

// Profile is what a platform says of itself.
type Profile struct {
	Version      protocol.Version
	Capabilities map[string][]Entry
	// Keys verify its signatures.
	Keys httpsig.Set
	// Webhook is where it wants to hear of orders, or empty.
	Webhook string
}

// Entry is one version of a capability that a side has.
type Entry struct {
	Version string
	// Extends are the capabilities that it extends; none for one of its own.
	Extends []string
	// Requires are lowest versions of the protocol, and of other capabilities by name.
	Requires Requires
}

// Requires bounds versions. The zero value bounds nothing.
type Requires struct {
	Protocol     Range
	Capabilities map[string]Range
}

// Range is inclusive; an empty end is open.
type Range struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

func (r Range) covers(version string) bool {
	return (r.Min == "" || version >= r.Min) && (r.Max == "" || version <= r.Max)
}

// maxProfile bounds a profile's size; the protocol wants at least 128 KiB to be read.
const maxProfile = 256 << 10

var (
	dated       = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	capability  = regexp.MustCompile(`^[a-z](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9_])?)+$`)
	errProfile  = errors.New("not a profile")
	profileBits = strictjson.Limits{Bytes: maxProfile, Depth: 32, Members: 1024, String: 16 << 10}
)

// ParseProfile reads a platform's profile of any version. Entries that are not bound to
// their name's authority, or that mix versions of the protocol, are left out.
func ParseProfile(data []byte) (Profile, error) {
	if err := strictjson.Check(data, profileBits); err != nil {
		return Profile{}, fmt.Errorf("%w: %w", errProfile, err)
	}
	var doc struct {
		UCP *struct {
			Version      string                       `json:"version"`
			Services     json.RawMessage              `json:"services"`
			Capabilities map[string][]json.RawMessage `json:"capabilities"`
		} `json:"ucp"`
		Keys        []json.RawMessage `json:"keys"`
		SigningKeys []json.RawMessage `json:"signing_keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return Profile{}, fmt.Errorf("%w: %w", errProfile, err)
	}
	if doc.UCP == nil || !dated.MatchString(doc.UCP.Version) {
		return Profile{}, fmt.Errorf("%w: there is no ucp.version", errProfile)
	}
	p := Profile{Version: protocol.Version(doc.UCP.Version), Capabilities: map[string][]Entry{}}
	list := doc.Keys
	if p.Version < protocol.August2026 {
		list = doc.SigningKeys
	}
	var err error
	if p.Keys, err = httpsig.ParseKeys(list); err != nil {
		return Profile{}, fmt.Errorf("%w: %w", errProfile, err)
	}
	for name, entries := range doc.UCP.Capabilities {
		if !capability.MatchString(name) {
			continue
		}
		for _, raw := range entries {
			e, hook, ok := p.entry(name, raw)
			if !ok {
				continue
			}
			p.Capabilities[name] = append(p.Capabilities[name], e)
			if name == protocol.Order && hook != "" {
				p.Webhook = hook
			}
		}
	}
	return p, nil
}

func (p Profile) entry(name string, raw json.RawMessage) (e Entry, hook string, ok bool) {
	var in struct {
		Version string          `json:"version"`
		Schema  string          `json:"schema"`
		Extends json.RawMessage `json:"extends"`
		Config  struct {
			Webhook string `json:"webhook_url"`
		} `json:"config"`
		Requires struct {
			Protocol     Range            `json:"protocol"`
			Capabilities map[string]Range `json:"capabilities"`
		} `json:"requires"`
	}
	if json.Unmarshal(raw, &in) != nil || !dated.MatchString(in.Version) {
		return e, "", false
	}
	current := p.Version >= protocol.August2026
	switch {
	case current && strings.HasPrefix(name, "dev.ucp.") && in.Version != string(p.Version):
		return e, "", false // a release is one snapshot
	case in.Schema != "" && current && !Bound(name, in.Schema):
		return e, "", false
	}
	e = Entry{Version: in.Version, Requires: Requires{in.Requires.Protocol, in.Requires.Capabilities}}
	if len(in.Extends) > 0 {
		var one string
		if json.Unmarshal(in.Extends, &one) == nil {
			e.Extends = []string{one}
		} else if json.Unmarshal(in.Extends, &e.Extends) != nil {
			return e, "", false
		}
	}
	return e, in.Config.Webhook, true
}

// Bound reports whether a URL's host may speak for a name: reversed, it is the name or
// the beginning of it, label by label ("authority binding").
func Bound(name, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Host == "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return false
	}
	labels := strings.Split(host, ".")
	slices.Reverse(labels)
	reversed := strings.Join(labels, ".")
	return name == reversed || strings.HasPrefix(name, reversed+".")
}

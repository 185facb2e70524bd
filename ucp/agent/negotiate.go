package agent

import (
	"maps"
	"slices"

	"paywall/ucp/protocol"
)

// Offer is what the shop has, by version of the protocol.
type Offer map[protocol.Version]map[string]Entry

// Negotiate picks the version and what both sides have of it. Extensions go with what
// they extend. No capability left is no fault: the answer says so as an outcome.
func Negotiate(o Offer, p Profile) (protocol.Version, map[string]string, *protocol.Fault) {
	ours, ok := o[p.Version]
	if !ok {
		return "", nil, &protocol.Fault{Code: protocol.VersionUnsupported, Content: "This version of UCP is not served here."}
	}
	picked := map[string]string{}
	extends := map[string][]string{}
	for name, entry := range ours {
		i := slices.IndexFunc(p.Capabilities[name], func(e Entry) bool { return e.Version == entry.Version })
		if i < 0 {
			continue
		}
		theirs := p.Capabilities[name][i]
		if !entry.Requires.Protocol.covers(string(p.Version)) || !theirs.Requires.Protocol.covers(string(p.Version)) {
			continue
		}
		picked[name], extends[name] = entry.Version, entry.Extends
	}
	for pruned := true; pruned; {
		pruned = false
		for _, name := range slices.Sorted(maps.Keys(picked)) {
			if orphan(picked, extends[name]) || !met(picked, ours[name].Requires) {
				delete(picked, name)
				pruned = true
			}
		}
	}
	return p.Version, picked, nil
}

// orphan reports whether an extension has nothing left to extend.
func orphan(picked map[string]string, parents []string) bool {
	return len(parents) > 0 && !slices.ContainsFunc(parents, func(name string) bool { _, ok := picked[name]; return ok })
}

func met(picked map[string]string, r Requires) bool {
	for name, want := range r.Capabilities {
		if version, ok := picked[name]; !ok || !want.covers(version) {
			return false
		}
	}
	return true
}

package facilitator

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// supported lists every way to pay, of both versions, in a fixed order.
func (s *Server) supported(w http.ResponseWriter, _ *http.Request) {
	kinds := []object{}
	add := func(version int, scheme, network string, extra object) {
		k := object{"x402Version": version, "scheme": scheme, "network": network}
		if extra != nil {
			k["extra"] = extra
		}
		kinds = append(kinds, k)
	}
	networks := make(map[string]bool)
	for _, id := range slices.Sorted(maps.Keys(s.tokens)) {
		network := s.tokens[id][0].Network
		networks[network] = true
		add(2, schemeExact, network, nil)
		add(2, schemeUpto, network, object{"facilitatorAddress": s.self.String(), "assetTransferMethod": "permit2"})
	}
	for _, name := range slices.Sorted(maps.Keys(oldNames)) {
		if networks[oldNames[name]] {
			add(1, schemeExact, name, nil)
		}
	}
	answer(w, http.StatusOK, object{"kinds": kinds, "extensions": []string{"bazaar"}, "signers": object{"eip155:*": []string{s.self.String()}}})
}

const maxListed = 1000

// A catalog is what buyers may look for: resources that were paid for, and whose
// sellers want to be found.
type catalog struct {
	byURL map[string]*listed
	order []string
}

type listed struct {
	at         time.Time
	accepts    wireRequirements
	raw        json.RawMessage // accepts, as they came
	extensions json.RawMessage
}

// list takes a resource into the catalog if its extension bazaar was echoed, and
// tells the server so.
func (s *Server) list(w http.ResponseWriter, o *order) {
	if o.resource == "" || len(o.resource) > 2048 || len(o.discovered) == 0 || string(o.discovered) == "null" {
		return
	}
	now := s.now().UTC()
	s.mu.Lock()
	status := "success"
	switch known := s.catalog.byURL[o.resource]; {
	case known != nil:
		known.at, known.accepts, known.raw, known.extensions = now, o.accepts, o.terms, o.discovered
	case len(s.catalog.order) >= maxListed:
		status = "rejected"
	default:
		if s.catalog.byURL == nil {
			s.catalog.byURL = make(map[string]*listed)
		}
		s.catalog.byURL[o.resource] = &listed{now, o.accepts, o.terms, o.discovered}
		s.catalog.order = append(s.catalog.order, o.resource)
	}
	s.mu.Unlock()
	// Base64 of JSON, for the server alone.
	w.Header().Set("EXTENSION-RESPONSES", base64.StdEncoding.EncodeToString([]byte(`{"bazaar":{"status":"`+status+`"}}`)))
}

// discovery answers with a page of the catalog.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, offset := 20, 0
	var err error
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 100 {
			answer(w, http.StatusBadRequest, object{"error": "limit: want 1 to 100"})
			return
		}
	}
	if v := q.Get("offset"); v != "" {
		if offset, err = strconv.Atoi(v); err != nil || offset < 0 {
			answer(w, http.StatusBadRequest, object{"error": "offset: want 0 or more"})
			return
		}
	}
	is := func(name, value string) bool { return q.Get(name) == "" || q.Get(name) == value }
	items, total := []object{}, 0
	s.mu.Lock()
	for _, url := range s.catalog.order {
		l := s.catalog.byURL[url]
		if !is("type", "http") || !is("payTo", l.accepts.PayTo) || !is("scheme", l.accepts.Scheme) || !is("network", l.accepts.Network) {
			continue
		}
		if total++; total > offset && len(items) < limit {
			items = append(items, object{
				"resource": url, "type": "http", "x402Version": 2, "accepts": []json.RawMessage{l.raw},
				"lastUpdated": l.at.Format(time.RFC3339), "extensions": object{"bazaar": l.extensions},
			})
		}
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, object{"x402Version": 2, "items": items, "pagination": object{"limit": limit, "offset": offset, "total": total}})
}

package builtin

import (
	"encoding/json"
	"net/http"
	"sync/atomic"

	"paywall/internal/config"
	"paywall/x402"
)

// Directory holds what directories are told of the routes of the current
// configuration, by their ids. The zero value tells nothing.
type Directory struct {
	current atomic.Pointer[map[string]json.RawMessage]
}

// Set replaces what is told. Routes whose path cannot be written as a template of
// directories are left out.
func (d *Directory) Set(c *config.Config) {
	told := map[string]json.RawMessage{}
	for _, r := range c.Routes {
		template, ok := x402.Template(r.Path)
		if r.Free || !ok {
			continue
		}
		method := r.Method
		if method == "" {
			method = http.MethodGet
		}
		if said, err := (x402.BazaarRoute{Method: method, Template: template}).Declaration(); err == nil {
			told[r.ID] = said
		}
	}
	d.current.Store(&told)
}

// Describe is the declaration of a route.
func (d *Directory) Describe(route string) (json.RawMessage, bool) {
	told := d.current.Load()
	if told == nil {
		return nil, false
	}
	said, ok := (*told)[route]
	return said, ok
}

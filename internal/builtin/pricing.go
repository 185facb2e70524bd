package builtin

import (
	"time"

	"paywall/gate"
	"paywall/internal/config"
	"paywall/pricing/conditional"
	"paywall/pricing/flat"
	"paywall/pricing/remote"
	"paywall/pricing/tiered"
)

// Pricer makes the rule of a priced route.
func Pricer(r config.Route, now func() time.Time) (gate.Pricer, error) {
	switch {
	case r.Tiers != nil:
		t := tiered.Config{
			From: tiered.Source{Query: r.Tiers.Query, Header: r.Tiers.Header, JSON: r.Tiers.JSON},
			Unit: r.Tiers.Unit, Max: r.Tiers.Max, Default: r.Tiers.Default,
		}
		for _, s := range r.Tiers.Steps {
			t.Steps = append(t.Steps, tiered.Step{UpTo: s.UpTo, Price: s.Price})
		}
		return tiered.New(t) //nolint:wrapcheck // it names the setting
	case r.Remote != nil:
		cache := r.Remote.Cache
		if cache == 0 {
			cache = -1
		}
		return remote.New(remote.Config{ //nolint:wrapcheck // it names the setting
			URL: r.Remote.URL, Header: r.Remote.Header(), Forward: r.Remote.Forward, Timeout: r.Remote.Timeout,
			Cache: cache, Fallback: r.Remote.Fallback, Now: now,
		})
	case len(r.When) > 0:
		c := conditional.Config{Else: r.Price}
		for _, w := range r.When {
			c.Rules = append(c.Rules, conditional.Rule{Query: w.Query, Header: w.Header, Price: w.Price})
		}
		return conditional.New(c) //nolint:wrapcheck // it names the setting
	}
	return flat.New(r.Price) //nolint:wrapcheck // it names the setting
}

package gate

import (
	"fmt"
	"net/http"
)

// When the money of a [Route] is taken.
const (
	// SettleAuto is SettleHold for GET and HEAD, and SettleBefore for the rest.
	SettleAuto = ""
	// SettleBefore takes it before the request goes to the handler.
	SettleBefore = "before"
	// SettleHold takes it when there is an answer to give for it, by methods that can
	// promise the money first, and before by the others.
	SettleHold = "hold"
	// SettleMetered takes what was used, as [Route.Meter] tells, of the price, which
	// is a ceiling; by methods that can, and no others.
	SettleMetered = "metered"
)

// checkSettle checks when and how much is taken, and fills in what is left out.
func (c *route) checkSettle() error {
	switch c.Settle {
	case "auto":
		c.Settle = SettleAuto
	case SettleAuto, SettleBefore, SettleHold, SettleMetered:
	default:
		return fmt.Errorf("route %s: settle %q is none of before, hold and metered", c.ID, c.Settle)
	}
	if c.Settle != SettleMetered {
		if c.Meter != (Meter{}) {
			return fmt.Errorf("route %s: a meter is for a route that settles metered", c.ID)
		}
		return nil
	}
	if err := c.Meter.check(); err != nil {
		return fmt.Errorf("route %s: %w", c.ID, err)
	}
	return nil
}

// holds reports whether the money of such a request is taken after its answer, by
// methods that can.
func (c *route) holds(method string) bool {
	switch c.Settle {
	case SettleHold, SettleMetered:
		return true
	case SettleBefore:
		return false
	default:
		return safe(method)
	}
}

// holdings are the values of holds for the requests that the route takes.
func (c *route) holdings() []bool {
	if c.Settle == SettleAuto && c.pattern.Method == "" {
		return []bool{c.holds(http.MethodGet), c.holds(http.MethodPost)}
	}
	return []bool{c.holds(c.pattern.Method)}
}

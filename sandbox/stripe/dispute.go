package stripe

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// disputeFee is what a lost or received dispute costs, in cents.
const disputeFee = 1500

// A dispute is a buyer's complaint to the bank.
type dispute struct {
	id       string
	created  time.Time
	charge   *charge
	reason   string
	status   string
	asked    bool // an inquiry: nothing was withdrawn
	evidence map[string]string
	metadata map[string]string
	entries  []*entry
}

func (d *dispute) ident() string   { return d.id }
func (d *dispute) born() time.Time { return d.created }
func (d *dispute) inquiry() bool   { return d.asked }

func (d *dispute) closed() bool {
	return d.status == "won" || d.status == "lost" || d.status == "warning_closed"
}

func (d *dispute) render() object {
	entries := make([]object, len(d.entries))
	for i, e := range d.entries {
		entries[i] = e.render()
	}
	return object{
		"id": d.id, "object": "dispute", "amount": d.charge.captured, "balance_transactions": entries, "charge": d.charge.id,
		"created": d.created.Unix(), "currency": d.charge.intent.currency, "evidence": notes(d.evidence),
		"evidence_details":     object{"due_by": d.created.Add(7 * 24 * time.Hour).Unix(), "has_evidence": len(d.evidence) > 0, "past_due": false, "submission_count": int(bit(len(d.evidence) > 0))},
		"is_charge_refundable": d.asked, "livemode": false, "metadata": notes(d.metadata), "payment_intent": d.charge.intent.id,
		"reason": d.reason, "status": d.status,
	}
}

func (s *Server) openDispute(a *account, h *charge, reason string, inquiry bool, now time.Time) *dispute {
	d := &dispute{id: s.newID("dp"), created: now, charge: h, reason: reason, asked: inquiry, status: "needs_response"}
	h.dispute = d
	a.disputes.add(d)
	if inquiry {
		d.status = "warning_needs_response"
	} else {
		d.entries = append(d.entries, s.book(a, "adjustment", d.id, h.intent.currency, -h.captured, disputeFee, true, now))
	}
	s.emit(a, "charge.dispute.created", d.render(), nil)
	if !inquiry {
		s.emit(a, "charge.dispute.funds_withdrawn", d.render(), nil)
	}
	return d
}

// closeWith ends a dispute. What was withdrawn comes back when it is won; the fee does not.
func (s *Server) closeWith(a *account, d *dispute, status string, now time.Time) {
	d.status = status
	if status == "won" && !d.asked {
		d.entries = append(d.entries, s.book(a, "adjustment", d.id, d.charge.intent.currency, d.charge.captured, 0, true, now))
		s.emit(a, "charge.dispute.funds_reinstated", d.render(), nil)
	}
	s.emit(a, "charge.dispute.closed", d.render(), nil)
}

// ErrNotDisputable is returned by [Server.OpenDispute] for a charge that was not
// captured or is disputed already.
var ErrNotDisputable = errors.New("stripe: the charge cannot be disputed")

// OpenDispute lets the buyer of a charge complain, the charge being named by its
// own identifier or that of its intent. An empty reason is "fraudulent".
func (s *Server) OpenDispute(id, reason string) (disputeID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if reason == "" {
		reason = "fraudulent"
	}
	for _, a := range s.state.sorted() {
		h, ok := a.charges.get(id)
		if i, found := a.intents.get(id); found && i.latest != nil {
			h, ok = i.latest, true
		}
		if !ok {
			continue
		}
		if !h.done || h.dispute != nil {
			return "", ErrNotDisputable
		}
		return s.openDispute(a, h, reason, false, s.now()).id, nil
	}
	return "", fmt.Errorf("dispute %.80q: %w", id, ErrNotDisputable)
}

func (s *Server) disputeFor(c *call) (*dispute, error) {
	if d, ok := c.account.disputes.get(c.id); ok {
		return d, nil
	}
	return nil, noSuch("dispute", "dispute", c.id)
}

func (s *Server) retrieveDispute(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	d, err := s.disputeFor(c)
	if err != nil {
		return nil, err
	}
	return d.render(), nil
}

// updateDispute takes evidence. The processor's documented texts decide a test
// dispute: winning_evidence and losing_evidence.
func (s *Server) updateDispute(c *call) (object, error) {
	d, err := s.disputeFor(c)
	if err != nil {
		return nil, err
	}
	evidence := c.metadata("evidence", d.evidence)
	metadata := c.metadata("metadata", d.metadata)
	submit := c.one("submit", "true", "false") != "false"
	if err := c.finish(); err != nil {
		return nil, err
	}
	if d.closed() {
		return nil, refused("", "", "This dispute is already closed.")
	}
	d.evidence, d.metadata = evidence, metadata
	prefix := ""
	if d.asked {
		prefix = "warning_"
	}
	text := strings.TrimSpace(evidence["uncategorized_text"])
	switch {
	case !submit || len(evidence) == 0:
		s.emit(c.account, "charge.dispute.updated", d.render(), nil)
	case text == "winning_evidence" && d.asked:
		s.closeWith(c.account, d, "warning_closed", c.now)
	case text == "winning_evidence":
		s.closeWith(c.account, d, "won", c.now)
	case text == "losing_evidence":
		s.closeWith(c.account, d, "lost", c.now)
	default:
		d.status = prefix + "under_review"
		s.emit(c.account, "charge.dispute.updated", d.render(), nil)
	}
	return d.render(), nil
}

func (s *Server) closeDispute(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	d, err := s.disputeFor(c)
	if err != nil {
		return nil, err
	}
	if d.closed() {
		return nil, refused("", "", "This dispute is already closed.")
	}
	s.closeWith(c.account, d, "lost", c.now)
	return d.render(), nil
}

func (s *Server) listDisputes(c *call) (object, error) {
	when, g, chargeID, intentID := c.created(), c.page(), c.str("charge"), c.str("payment_intent")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.disputes, g, "dispute", func(d *dispute) bool {
		return when.covers(d.created) && (chargeID == "" || d.charge.id == chargeID) && (intentID == "" || d.charge.intent.id == intentID)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/disputes", (*dispute).render), nil
}

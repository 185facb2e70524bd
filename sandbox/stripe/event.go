package stripe

import (
	"encoding/json"
	"slices"
	"time"
)

// maxEvents is how many events an account keeps.
const maxEvents = 10_000

// An event is one thing that happened, with the object as it was then.
type event struct {
	id       string
	created  time.Time
	kind     string
	account  *account
	cause    cause
	object   json.RawMessage
	previous object
	pending  int // deliveries not yet accepted
}

func (e *event) ident() string   { return e.id }
func (e *event) born() time.Time { return e.created }

func (e *event) render() object { return e.as(DefaultVersion) }

// as renders an event for an endpoint of an API version.
func (e *event) as(version string) object {
	data := object{"object": e.object}
	if e.previous != nil {
		data["previous_attributes"] = e.previous
	}
	o := object{
		"id": e.id, "object": "event", "api_version": version, "created": e.created.Unix(), "data": data, "livemode": false,
		"pending_webhooks": e.pending, "type": e.kind,
		"request": object{"id": orNull(e.cause.requestID), "idempotency_key": orNull(e.cause.key)},
	}
	if e.account.id != platformAccount {
		o["account"] = e.account.id
	}
	return o
}

// emit records an event and queues it for the endpoints that want it.
func (s *Server) emit(a *account, kind string, about, previous object) {
	e := &event{
		id: s.newID("evt"), created: s.now(), kind: kind, account: a, cause: s.state.cause,
		object: encode(about), previous: previous,
	}
	a.events.add(e)
	a.events.trim(maxEvents)
	for _, p := range s.state.endpoints {
		if p.wants(e) {
			s.queue(p, e)
		}
	}
}

func (s *Server) eventFor(c *call) (*event, error) {
	if e, ok := c.account.events.get(c.id); ok {
		return e, nil
	}
	return nil, noSuch("event", "id", c.id)
}

func (s *Server) retrieveEvent(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	e, err := s.eventFor(c)
	if err != nil {
		return nil, err
	}
	return e.render(), nil
}

// retryEvent delivers an event once more, to one endpoint or to all that want
// it: receivers must expect duplicates.
func (s *Server) retryEvent(c *call) (object, error) {
	only := c.str("webhook_endpoint")
	c.ignore("account")
	if err := c.finish(); err != nil {
		return nil, err
	}
	e, err := s.eventFor(c)
	if err != nil {
		return nil, err
	}
	s.again(e, only)
	return e.render(), nil
}

func (s *Server) again(e *event, only string) {
	for _, p := range s.state.endpoints {
		if (only == "" || p.id == only) && p.wants(e) {
			s.queue(p, e)
		}
	}
}

// Resend delivers an event once more to every endpoint that wants it. It
// reports whether there is such an event.
func (s *Server) Resend(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.state.sorted() {
		if e, ok := a.events.get(id); ok {
			s.again(e, "")
			return true
		}
	}
	return false
}

func (s *Server) listEvents(c *call) (object, error) {
	when, g, kind, kinds := c.created(), c.page(), c.str("type"), c.list("types")
	c.ignore("delivery_success")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.events, g, "event", func(e *event) bool {
		return when.covers(e.created) && (kind == "" || e.kind == kind) && (len(kinds) == 0 || slices.Contains(kinds, e.kind))
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/events", (*event).render), nil
}

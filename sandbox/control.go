package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const controlPrefix = "/_sandbox/"

func underControl(path string) bool { return strings.HasPrefix(path, controlPrefix) }

// control is the control plane. Pages of other sites cannot reach it: neither by
// a form (no cross-origin request passes) nor by a name of theirs that points
// to this machine (the Host must be this machine's own).
func (s *Sandbox) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+controlPrefix+"faults", s.orderFault)
	mux.HandleFunc("GET "+controlPrefix+"faults", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"notice": Notice, "faults": s.faults.all()})
	})
	mux.HandleFunc("DELETE "+controlPrefix+"faults", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"notice": Notice, "cleared": s.faults.clear("")})
	})
	mux.HandleFunc("DELETE "+controlPrefix+"faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		n := s.faults.clear(r.PathValue("id"))
		if n == 0 {
			refuse(w, http.StatusNotFound, "no such fault")
			return
		}
		reply(w, http.StatusOK, map[string]any{"notice": Notice, "cleared": n})
	})
	mux.HandleFunc("GET "+controlPrefix+"audit", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, s.Audit())
	})
	mux.HandleFunc("GET "+controlPrefix+"clock", func(w http.ResponseWriter, _ *http.Request) { s.showClock(w) })
	mux.HandleFunc("POST "+controlPrefix+"clock", s.advance)
	mux.HandleFunc("POST "+controlPrefix+"reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		reply(w, http.StatusOK, map[string]any{"notice": Notice, "reset": true})
	})
	mux.HandleFunc("POST "+controlPrefix+"disputes", s.dispute)
	mux.HandleFunc("POST "+controlPrefix+"fund", s.fund)
	mux.HandleFunc("POST "+controlPrefix+"cancel", s.cancelNonce)
	mux.HandleFunc("POST "+controlPrefix+"facilitator", s.setFacilitator)
	mux.HandleFunc("POST "+controlPrefix+"events/{id}/resend", func(w http.ResponseWriter, r *http.Request) {
		if !s.stripe.Resend(r.PathValue("id")) {
			refuse(w, http.StatusNotFound, "no such event")
			return
		}
		reply(w, http.StatusOK, map[string]any{"notice": Notice, "resent": r.PathValue("id")})
	})
	mux.HandleFunc(controlPrefix, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "the control plane has faults, audit, clock, disputes, events/{id}/resend, fund, cancel, facilitator and reset")
	})
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			refuse(w, http.StatusForbidden, "the control plane answers to names of this machine only")
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// Reset forgets every object, call and fault and puts the clock right. With a
// seed, the identifiers begin anew.
func (s *Sandbox) Reset() {
	s.faults.clear("")
	s.clock.reset()
	s.ids.reset()
	s.stripe.Reset()
	s.wallet.Reset()
	s.chains.Reset()
	s.calls.reset()
}

// Order puts a fault in force and returns its identifier. A wrong member is a [*FaultError].
func (s *Sandbox) Order(f Fault) (id string, err error) {
	f.ID = s.ids.next("fault")
	return f.ID, s.faults.add(f)
}

// Advance puts the clock forward and does what is due by then.
func (s *Sandbox) Advance(d time.Duration) error {
	if err := s.clock.advance(d); err != nil {
		return err
	}
	s.chains.Wake() // first, as the processor looks at them
	s.stripe.Wake()
	return nil
}

func (s *Sandbox) orderFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := read(r, &f); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	id, err := s.Order(f)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, map[string]any{"notice": Notice, "id": id})
}

func (s *Sandbox) showClock(w http.ResponseWriter) {
	reply(w, http.StatusOK, map[string]any{
		"notice": Notice, "now": s.clock.now().UTC(), "advanced_seconds": int64(s.clock.ahead() / time.Second),
	})
}

func (s *Sandbox) advance(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Seconds int64  `json:"advance_seconds"`
		Text    string `json:"advance"`
	}
	if err := read(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	d := time.Duration(in.Seconds) * time.Second
	if in.Text != "" {
		var err error
		if d, err = time.ParseDuration(in.Text); err != nil || in.Seconds != 0 {
			refuse(w, http.StatusBadRequest, `want either "advance_seconds": 60 or "advance": "24h"`)
			return
		}
	}
	if in.Seconds > int64(maxAdvance/time.Second) || d <= 0 {
		refuse(w, http.StatusBadRequest, `want a positive "advance_seconds" or "advance"`)
		return
	}
	if err := s.Advance(d); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.showClock(w)
}

func (s *Sandbox) dispute(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Charge string `json:"charge"`
		Intent string `json:"payment_intent"`
		Reason string `json:"reason"`
	}
	if err := read(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	id := in.Charge
	if id == "" {
		id = in.Intent
	}
	d, err := s.stripe.OpenDispute(id, in.Reason)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, map[string]any{"notice": Notice, "id": d})
}

var errBody = errors.New("want one JSON object with members that are known here")

// read decodes a control body strictly: a misspelt fault that is silently not
// ordered would make a test pass that tests nothing.
func read(r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errors.Join(errBody, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errBody
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, map[string]any{"notice": Notice, "error": why})
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "the answer cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client left
}

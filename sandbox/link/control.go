package link

import (
	"context"
	"net/http"
)

// routeControl serves scripts and the command line of the sandbox, which have no
// login. A page of another origin gets nothing done here.
func (w *Wallet) routeControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /_wallet/requests", w.control(w.controlList))
	mux.HandleFunc("POST /_wallet/requests/{id}/approve", w.control(w.controlDecide(w.approve)))
	mux.HandleFunc("POST /_wallet/requests/{id}/deny", w.control(w.controlDecide(w.deny)))
}

func (w *Wallet) control(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if !w.ownOrigin(r) {
			w.fail(rw, r, &refusal{
				status: http.StatusForbidden, code: "forbidden",
				message: "Sandbox control answers programs on this machine and its own pages only",
			})
			return
		}
		if err := h(rw, r); err != nil {
			w.fail(rw, r, err)
		}
	}
}

func (w *Wallet) controlList(rw http.ResponseWriter, r *http.Request) error {
	which := waits
	if r.URL.Query().Get("history") == "true" {
		which = anyOf
	}
	w.answer(rw, r, http.StatusOK, map[string]any{"data": w.list(r.Context(), which)})
	return nil
}

func (w *Wallet) controlDecide(decide func(ctx context.Context, id, by string) error) func(http.ResponseWriter, *http.Request) error {
	return func(rw http.ResponseWriter, r *http.Request) error {
		id := r.PathValue("id")
		if err := decide(r.Context(), id, byControl); err != nil {
			return err
		}
		v, ok := w.look(id)
		if !ok {
			return notFound()
		}
		w.answer(rw, r, http.StatusOK, v)
		return nil
	}
}

// look returns one request as a person sees it.
func (w *Wallet) look(id string) (Request, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.byID[id]
	if r == nil {
		return Request{}, false
	}
	return w.view(r), true
}

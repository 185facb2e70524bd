package gate_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"paywall/payment"
)

// hanging is a payer's connection that is closed as soon as the answer is
// complete on it.
type hanging struct {
	*httptest.ResponseRecorder

	whole  int // bytes of a whole body
	hangUp context.CancelFunc
}

func (w *hanging) Write(b []byte) (int, error) {
	n, err := w.ResponseRecorder.Write(b)
	if w.Header().Get("Content-Length") != "" && w.Body.Len() >= w.whole {
		w.hangUp() // the body's length said that this is all
	}
	return n, err
}

func (w *hanging) FlushError() error {
	w.Flush()
	w.hangUp()
	return nil
}

// TestPayerHangsUpAfterItsAnswer enters as delivered what a payer has got, however
// fast it goes, and as undelivered what went out when it was gone.
func TestPayerHangsUpAfterItsAnswer(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("goods ", 1000)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, declared := range []bool{true, false} {
			for _, early := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s declared=%t early=%t", method, declared, early), func(t *testing.T) {
					t.Parallel()
					h := newHouse(t)
					ctx, hangUp := context.WithCancel(t.Context())
					defer hangUp()
					h.api.set(func(w http.ResponseWriter, _ *http.Request) {
						if declared {
							w.Header().Set("Content-Length", strconv.Itoa(len(body)))
						}
						if early {
							hangUp()
						}
						fmt.Fprint(w, body)
					})
					router := h.router(map[string]string{"/a": "1.00 USD"})
					r := h.paid(router, method, "/a", "").WithContext(ctx)
					serve(t, router, &hanging{ResponseRecorder: httptest.NewRecorder(), whole: len(body), hangUp: hangUp}, r)
					pays, err := h.store.List(t.Context(), payment.Filter{}, "", 10)
					h.must(err)
					if len(pays) != 1 {
						t.Fatalf("%d payments, want 1", len(pays))
					}
					if got := pays[0].Delivery == payment.DeliveryDelivered; got == early {
						t.Errorf("the payment is %s/%s; the payer had its answer: %t", pays[0].State, pays[0].Delivery, !early)
					}
				})
			}
		}
	}
}

// serve takes the panic by which a server is told to cut the connection.
func serve(t *testing.T, h http.Handler, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
}

// TestPayerHangsUpAfterItsKeptAnswer enters as delivered the answer to a request that
// ran once, which waited for its payer, however fast the payer goes with it; and not
// what went out when it was gone.
func TestPayerHangsUpAfterItsKeptAnswer(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("goods ", 1000)
	for _, declared := range []bool{true, false} {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("declared=%t early=%t", declared, early), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t)
				ctx, hangUp := context.WithCancel(t.Context())
				h.api.set(func(w http.ResponseWriter, _ *http.Request) {
					if declared {
						w.Header().Set("Content-Length", strconv.Itoa(len(body)))
					}
					hangUp()
					fmt.Fprint(w, body)
				})
				router := h.router(map[string]string{"/a": "1.00 USD"})
				r := h.paid(router, http.MethodPost, "/a", "")
				serve(t, router, &hanging{ResponseRecorder: httptest.NewRecorder(), whole: len(body), hangUp: hangUp}, r.WithContext(ctx))

				ctx, hangUp = context.WithCancel(t.Context())
				defer hangUp()
				if early {
					hangUp()
				}
				back := &hanging{ResponseRecorder: httptest.NewRecorder(), whole: len(body), hangUp: hangUp}
				serve(t, router, back, r.Clone(ctx))
				if back.Code != http.StatusOK || back.Body.String() != body {
					t.Fatalf("the payer that came back has %d and %d bytes", back.Code, back.Body.Len())
				}
				pays, err := h.store.List(t.Context(), payment.Filter{}, "", 10)
				h.must(err)
				if len(pays) != 1 {
					t.Fatalf("%d payments, want 1", len(pays))
				}
				if got := pays[0].Delivery == payment.DeliveryDelivered; got == early {
					t.Errorf("the payment is %s/%s; the payer had its answer: %t", pays[0].State, pays[0].Delivery, !early)
				}
			})
		}
	}
}

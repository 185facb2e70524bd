package x402

import (
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"paywall/payment"
)

// Challenge sets PAYMENT-REQUIRED.
func (d *dialect) Challenge(h http.Header, _ *http.Request, s payment.Scope, now time.Time) error {
	if d.fresh {
		return d.require(h, errorRequired, s, now)
	}
	h[fieldRequired] = []string{d.required.fill(d.cfg.Origin, s.Target)}
	return nil
}

// require writes a challenge that is not written out before.
func (d *dialect) require(h http.Header, problem string, s payment.Scope, now time.Time) error {
	head, tail, err := d.frame(problem)
	if err != nil {
		return err
	}
	b := appendText(appendText(head, d.cfg.Origin), s.Target)
	b = append(b, tail...)
	if d.fresh {
		if b, err = d.appendFresh(b, s, now); err != nil {
			return err
		}
	}
	h[fieldRequired] = []string{base64.StdEncoding.EncodeToString(b)}
	return nil
}

// appendFresh puts what is new in every challenge before the object's end.
func (d *dialect) appendFresh(b []byte, s payment.Scope, now time.Time) ([]byte, error) {
	sep := `,"extensions":{`
	b = b[:len(b)-1]
	if len(d.constant) > 0 {
		b, sep = b[:len(b)-1], ","
	}
	for i := range d.extensions {
		e := &d.extensions[i]
		if e.Fresh == nil {
			continue
		}
		id, err := marshal(e.id)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, sep...), id...), ':')
		if b, err = e.Fresh(b, s, d.cfg.Origin+s.Target, now); err != nil {
			return nil, err //nolint:wrapcheck // the extension says what failed
		}
		sep = ","
	}
	return append(b, '}', '}'), nil
}

// errorText is what `error` says of a refusal.
func errorText(e *payment.Error) string {
	switch {
	case errors.Is(e.Err, payment.ErrNotOffered):
		return errorNoMatch
	case e.Reason != "":
		return e.Reason
	default:
		return code(e.Kind)
	}
}

// Refuse asks again and says why, for a refused settlement also in the answer's own
// field. While an outcome is open it asks for nothing.
func (d *dialect) Refuse(h http.Header, r *http.Request, s payment.Scope, e *payment.Error, now time.Time) (int, error) {
	if e.Kind.Unsettled() {
		return 0, nil
	}
	if err := d.require(h, errorText(e), s, now); err != nil {
		return 0, err
	}
	if settlementRefused(e) {
		if err := d.failure(h, r, e); err != nil {
			return 0, err
		}
	}
	switch {
	case e.Kind == payment.KindMalformedCredential || e.Kind == payment.KindBadRequest:
		return http.StatusBadRequest, nil
	case e.Reason == CodeAllowance:
		return http.StatusPreconditionFailed, nil
	}
	return http.StatusPaymentRequired, nil
}

// settlementRefused tells what the rail said from what was found here.
func settlementRefused(e *payment.Error) bool {
	switch e.Kind {
	case payment.KindVerificationFailed, payment.KindPaymentInsufficient, payment.KindActionRequired, payment.KindPaymentExpired:
		return !errors.Is(e.Err, errOffline) && (e.PaymentID != "" || e.Reason != "")
	default:
		return false
	}
}

// failure is the settlement that did not happen, in the version it was asked for.
func (*dialect) failure(h http.Header, r *http.Request, e *payment.Error) error {
	m, err := read(r.Header)
	if err != nil {
		return nil //nolint:nilerr // nobody is there to be told in one version or the other
	}
	field, network := fieldResponse, m.network
	if m.version == V1 {
		field = fieldResponseV1
		network, _ = NetworkV1(m.network)
	}
	v, err := Encode(SettleResponse{ErrorReason: errorText(e), Network: network})
	if err != nil {
		return err
	}
	h[field] = []string{v}
	return nil
}

// errorRequiredV1 is what a first challenge says in version 1.
const errorRequiredV1 = "X-PAYMENT header is required"

// Members is the body of version 1: nothing when no offer can be paid in it.
func (d *dialect) Members(_ *http.Request, s payment.Scope, e *payment.Error) []byte {
	if len(d.v1) == 0 {
		return nil
	}
	text := errorRequiredV1
	if e != nil && e.Kind != payment.KindPaymentRequired {
		text = errorText(e)
	}
	size := len(text) + 64
	for _, piece := range d.v1 {
		size += len(piece) + len(d.cfg.Origin) + len(s.Target)
	}
	b := append(make([]byte, 0, size), `"x402Version":1,"error":"`...)
	b = append(appendText(b, text), '"')
	for i, piece := range d.v1 {
		if i > 0 {
			b = appendText(append(b, d.cfg.Origin...), s.Target)
		}
		b = append(b, piece...)
	}
	return b
}

package stripe

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/money"
	"paywall/payment"
)

// Metadata of a recorded transfer. It has none of a charge's: nothing about it can
// be charged, voided or refunded as if it were one.
const (
	metaTransfer    = "paywall_transfer" // the payment's id
	metaTransaction = "paywall_transaction"
)

// keyLife is how long the processor is sure to remember an idempotency key, with
// room for a call that takes its time.
const keyLife = 23 * time.Hour

// reasonUnverified is of [payment.OutcomeNotNow]: the processor does not see the
// transfer. It may later, for it follows the chain from behind.
const reasonUnverified = "transaction_not_verified"

// A Transfer is a payment with stablecoins that has happened, to one of [Deposits].
type Transfer struct {
	// Network is the processor's name of it, or its CAIP-2 id.
	Network string
	// Transaction is its hash on the chain. The processor keeps it once, and its
	// idempotency key is derived from nothing else.
	Transaction string
	// Amount is what is entered, in US dollars and whole cents.
	Amount money.Amount
	// PaymentID is ours.
	PaymentID string
	// At is when it was made. What is older than a day is looked for before it is
	// entered, since the processor may have forgotten its key.
	At time.Time
	// Metadata is stored with it besides the rail's.
	Metadata map[string]string
}

// A Recorder enters transfers of stablecoins in the processor's books. It moves no
// money, keeps no record itself and is safe for concurrent use.
type Recorder struct{ cfg CoinConfig }

// NewRecorder checks the configuration. No call is made.
func NewRecorder(cfg CoinConfig) (*Recorder, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Recorder{cfg: cfg}, nil
}

// Record enters one transfer, once, however often it is called with the same one.
// It makes one attempt. OutcomeSucceeded has the reference of its entry;
// OutcomeDeclined and OutcomeMismatch are for good, and a person has to look;
// OutcomeUnknown and OutcomeNotNow are to be tried again.
func (r *Recorder) Record(ctx context.Context, t Transfer) payment.Outcome {
	t, body, reason := r.form(t)
	if reason != "" {
		return payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindVerificationFailed, Reason: reason, Err: &Error{Op: opRecord, Err: ErrIntent}}
	}
	if r.cfg.Rail.cfg.Now().Sub(t.At) > keyLife {
		out, found := r.search(ctx, t)
		if found || out.Reason != "" {
			return out // without the answer it might be entered twice
		}
	}
	a := r.cfg.Rail.send(ctx, r.call(http.MethodPost, pathIntents, t.Transaction), body)
	if a.ok() {
		return r.answered(ctx, t, a)
	}
	if a.status >= 500 && a.replayed() {
		return r.unless(ctx, t, payment.Outcome{Class: payment.OutcomeNotNow, Reason: reasonUnverified, Err: a.cause()})
	}
	pr, spoken := a.problem()
	switch {
	case !spoken, a.shouldRetry() == "true":
		return r.cfg.Rail.failed(a)
	case a.status == http.StatusBadRequest && pr.Type == string(sdk.ErrorTypeIdempotency):
		// Entered with other words by an earlier version, or of another payment.
		return r.unless(ctx, t, payment.Outcome{Class: payment.OutcomeMismatch, Reason: "key_conflict", Err: a.cause()})
	case a.status == http.StatusNotFound, code(pr.Code) == string(sdk.ErrorCodeParameterUnknown):
		// The account or the version does not know of stablecoins: it is not the transfer's fault.
		return payment.Outcome{Class: payment.OutcomeNotNow, Fatal: true, Reason: "stablecoins_refused", Err: a.cause()}
	case a.status == http.StatusBadRequest, a.status == http.StatusPaymentRequired:
		return r.unless(ctx, t, payment.Outcome{Class: payment.OutcomeNotNow, Reason: reasonUnverified, Err: a.cause()})
	}
	return r.cfg.Rail.failed(a)
}

const opRecord = "record"

func (r *Recorder) call(method, path, key string) call {
	return call{op: opRecord, method: method, path: path, version: r.cfg.APIVersion, account: r.cfg.Rail.cfg.Account, key: key, limit: maxPage}
}

// form checks a transfer and writes its request, the same bytes each time. The
// transfer that comes back names network and transaction in the processor's way.
func (r *Recorder) form(t Transfer) (out Transfer, body, reason string) {
	network, err := r.cfg.Rail.network(t.Network)
	if err != nil {
		return t, "", "network_unusable"
	}
	t.Network = network
	hash, ok := transactionID(network, t.Transaction)
	if !ok {
		return t, "", "transaction_unusable"
	}
	t.Transaction = hash
	cents, err := t.Amount.Rescale(2)
	if err != nil || cents.Currency() != "USD" || cents.Units() < 1 || cents.Units() > maxUnits {
		return t, "", "amount_unusable"
	}
	t.Amount = cents
	if !word(t.PaymentID, 64) {
		return t, "", "payment_unusable"
	}
	const (
		coin = "payment_method_options[crypto]"
		seen = coin + "[transaction_verification_options]"
	)
	pairs := map[string]string{
		"amount":                    strconv.FormatInt(cents.Units(), 10),
		"currency":                  "usd",
		"confirm":                   "true",
		"payment_method_types[0]":   "crypto",
		"payment_method_data[type]": "crypto",
		coin + "[mode]":             "transaction_verification",
		seen + "[network]":          network,
		seen + "[transaction_hash]": hash,
	}
	meta := merged(r.cfg.Rail.cfg.Metadata, t.Metadata)
	if checkMetadata(meta, maxMetadata-ownMetadata) != nil {
		return t, "", "metadata_unusable"
	}
	maps.Copy(meta, map[string]string{metaMachine: "true", metaTransfer: t.PaymentID, metaTransaction: hash})
	for k, v := range meta {
		pairs["metadata["+k+"]"] = v
	}
	return t, encode(pairs), ""
}

// answered reads the entry that a request left. A stored answer tells how it was
// then, and one that is undecided how it was a moment ago.
func (r *Recorder) answered(ctx context.Context, t Transfer, a answer) payment.Outcome {
	var pi intent
	if !a.read(&pi) || !pi.sound() {
		return r.cfg.Rail.failed(a)
	}
	out := r.judge(t, pi)
	if out.Class != payment.OutcomeUnknown && (out.Class != payment.OutcomeDeclined || !a.replayed()) {
		return out
	}
	now, failure := r.cfg.Rail.fetch(ctx, opRecord, r.cfg.APIVersion, r.cfg.Rail.cfg.Account, pi.ID)
	if failure != nil {
		return doubt(*failure)
	}
	return r.judge(t, now)
}

// judge says what an entry means for the transfer.
func (r *Recorder) judge(t Transfer, pi intent) payment.Outcome {
	out := payment.Outcome{Class: payment.OutcomeMismatch, Reference: pi.ID}
	switch {
	case pi.Metadata[metaTransfer] != t.PaymentID || pi.Metadata[metaTransaction] != t.Transaction:
		out.Reason = "recorded_as_another"
	case *pi.Livemode != r.cfg.Rail.cfg.Live:
		out.Reason = "livemode_differs"
	case !strings.EqualFold(pi.Currency, t.Amount.Currency()):
		out.Reason = "currency_differs"
	case *pi.Amount != t.Amount.Units():
		out.Reason = "amount_differs"
	case pi.Status == string(sdk.PaymentIntentStatusSucceeded) && (pi.AmountReceived == nil || *pi.AmountReceived != *pi.Amount):
		out.Reason = "received_differs"
	case pi.Status == string(sdk.PaymentIntentStatusSucceeded):
		out.Class, out.Amount = payment.OutcomeSucceeded, t.Amount
	case pi.Status == string(sdk.PaymentIntentStatusCanceled), pi.Status == string(sdk.PaymentIntentStatusRequiresPaymentMethod) && pi.LastError != nil:
		out.Class, out.Kind, out.Reason = payment.OutcomeDeclined, payment.KindVerificationFailed, "verification_failed"
	default:
		out.Class, out.Reason = payment.OutcomeUnknown, or(code(pi.Status), "unexpected_status")
	}
	return out
}

// unless returns otherwise, unless the transfer is entered already.
func (r *Recorder) unless(ctx context.Context, t Transfer, otherwise payment.Outcome) payment.Outcome {
	out, found := r.search(ctx, t)
	switch {
	case found:
		return out
	case out.Reason != "":
		return doubt(out)
	}
	return otherwise
}

// search finds the entry of a transaction. What the processor's search does not
// show is less than a minute old or does not exist. A reason without a find says
// that it could not be asked.
func (r *Recorder) search(ctx context.Context, t Transfer) (out payment.Outcome, found bool) {
	params := sdk.SearchParams{Limit: sdk.Int64(2), Query: "metadata['" + metaTransaction + "']:'" + t.Transaction + "'"}
	a := r.cfg.Rail.send(ctx, r.call(http.MethodGet, pathIntents+"/search", ""), query(&params))
	var list page[intent]
	if !a.read(&list) || list.Object != "search_result" || list.HasMore == nil {
		return r.cfg.Rail.failed(a), false
	}
	for _, pi := range list.Data {
		if !pi.sound() {
			return r.cfg.Rail.failed(a), false
		}
	}
	// Two keys may have left two of them; only one can have been taken.
	for i, pi := range list.Data {
		if one := r.judge(t, pi); i == 0 || one.Class == payment.OutcomeSucceeded {
			out = one
		}
	}
	return out, len(list.Data) > 0
}

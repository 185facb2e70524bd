package payment_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/sqlstore"
)

// TestProperty_AnyInterleaving: whatever payers, processes, rails and stores do,
// in whatever order, the books are right at every step, no key is charged twice,
// nothing runs twice that must not, and in the end every payment has its one fate.
func TestProperty_AnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// One after the other in recovery, so that a failure can be told again.
		newModel(t, paymenttest.NewStore(), 1, func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }).run(60)
	})
}

// TestProperty_AnyInterleavingOnDisk is the same over the real store, for some seeds.
func TestProperty_AnyInterleavingOnDisk(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			store, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "paywall.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			r := rand.New(rand.NewPCG(seed, 1))
			newModel(t, store, 8, func(_ string, n int) int { return r.IntN(n) }).run(80)
		})
	}
}

type check interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// model is a seller with two processes, and all that may go wrong around it.
type model struct {
	check
	pick  func(what string, n int) int // from 0 to n-1
	real  payment.Store
	store *tap
	rail  *paymenttest.Method
	now   time.Time
	procs [2]*proc
	runs  map[string]int // executions of what must not run twice
	ended map[string]bool

	recoveries int
}

type proc struct {
	*payment.Processor
	dies    string // at this point, next time
	serving []payment.Payment
}

const (
	challenges = 4
	tokens     = 3
)

func newModel(c check, s payment.Store, recoveries int, pick func(string, int) int) *model {
	m := &model{
		check: c, pick: pick, recoveries: recoveries, real: s, store: &tap{Store: s},
		rail: &paymenttest.Method{}, runs: map[string]int{}, ended: map[string]bool{},
		// Far ahead of the wall clock, by which patience is counted: nobody waits.
		now: time.Date(2140, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	m.boot(0)
	m.boot(1)
	return m
}

// boot starts a process, in the place of a dead one.
func (m *model) boot(i int) {
	m.store.claim, m.store.update = nil, nil
	next := &proc{}
	p, err := payment.New(m.Context(), payment.Config{
		Store: m.store, Methods: []payment.Method{m.rail}, Key: sealKey, Owner: fmt.Sprintf("proc-%d", i),
		Backoff: 10, Recoveries: m.recoveries, Now: func() time.Time { return m.now },
		Point: func(name string) {
			if next.dies == name {
				panic(crash{})
			}
		},
	})
	if err != nil {
		m.Fatalf("boot: %v", err)
	}
	next.Processor = p
	m.procs[i] = next
}

func (m *model) run(steps int) {
	acts := []func(i int){
		m.charge, m.charge, m.charge, m.serve, m.serve, m.deliver, m.deliver, m.deliver, m.fail, m.refund,
		m.recover, m.recover, m.pass, m.webhook, m.pause, m.dispute, m.refundFailed,
	}
	for range steps {
		i := m.pick("process", 2)
		m.faults(i)
		act := acts[m.pick("act", len(acts))]
		if dies(func() { act(i) }) {
			m.boot(i)
		}
		m.procs[i].dies = ""
		m.sound(false)
	}
	m.settleDown()
}

// faults decides what goes wrong in the next step.
func (m *model) faults(i int) {
	m.rail.Heal()
	outs := []paymenttest.Reply{
		{Outcome: unknown()},
		{Outcome: unknown(), Moves: true},
		{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Reason: "rate_limited"}},
		{Outcome: payment.Outcome{Class: payment.OutcomeMismatch, Reason: "odd"}},
		{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}},
		{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Fatal: true, Reason: "revoked"}},
	}
	if n := m.pick("charge fault", 2*len(outs)); n < len(outs) {
		m.rail.Script("charge", outs[n])
	}
	// Of the two that take money, one is asked in a step.
	if n := m.pick("capture fault", 2*len(outs)); n < len(outs) {
		m.rail.Script("capture", outs[n])
	}
	if n := m.pick("hold fault", 12); n < len(outs) {
		m.rail.Script("hold", outs[n])
	}
	if n := m.pick("release fault", 8); n < 2 {
		m.rail.Script("release", []paymenttest.Reply{outs[0], outs[2]}[n])
	}
	if n := m.pick("lookup fault", 8); n < 3 {
		m.rail.Script("lookup", []paymenttest.Reply{outs[0], outs[2], {Outcome: payment.Outcome{Class: payment.OutcomeNone}}}[n])
	}
	if n := m.pick("void fault", 8); n < 2 {
		m.rail.Script("void", []paymenttest.Reply{outs[0], outs[2]}[n])
	}
	if n := m.pick("refund fault", 10); n < 4 {
		m.rail.Script("refund", []paymenttest.Reply{outs[0], outs[1], outs[2], outs[4]}[n])
	}
	if m.pick("dies", 4) == 0 {
		points := payment.CrashPoints()
		m.procs[i].dies = points[m.pick("point", len(points))]
	}
	var left atomic.Int64
	lost := m.pick("store answer lost", 2) == 0
	if n := m.pick("store faults", 3); m.pick("store fails", 3) == 0 {
		left.Store(int64(n))
	}
	fault := func(_ context.Context, _ payment.Payment, run func() error) error {
		if left.Add(-1) < 0 {
			return run()
		}
		if lost {
			if err := run(); err != nil {
				return err
			}
		}
		return errors.New("connection lost")
	}
	m.store.claim, m.store.update = fault, fault
}

// answer refuses errors that nobody should meet.
func (m *model) answer(what string, err error) {
	m.Helper()
	if err == nil || errors.Is(err, payment.ErrConflict) || errors.Is(err, payment.ErrState) || strings.Contains(err.Error(), "connection lost") {
		return
	}
	if _, ok := errors.AsType[*payment.Error](err); !ok {
		m.Errorf("%s: %v", what, err)
	}
}

func (m *model) charge(i int) {
	c := m.credential(m.pick("challenge", challenges), m.pick("token", tokens))
	redeliver := m.pick("may run again", 2) == 0
	if c.Offer.Hold {
		m.hold(i, c, redeliver)
		return
	}
	pay, err := m.procs[i].Charge(m.Context(), c, entitlement(redeliver))
	m.answer("charge", err)
	if err == nil && (pay.State != payment.StateSettled || pay.CredentialHash != c.Hash) {
		m.Errorf("charge gave %s/%s of credential %s to %s", pay.State, pay.Delivery, pay.CredentialHash, c.Hash)
	}
}

// hold begins a payment whose request runs before its money is taken.
func (m *model) hold(i int, c payment.Credential, redeliver bool) {
	pay, err := m.procs[i].Hold(m.Context(), c, entitlement(redeliver))
	m.answer("hold", err)
	if err != nil {
		return
	}
	if pay.CredentialHash != c.Hash || pay.Payer != c.Payer || pay.State != payment.StateSettled && (pay.State != payment.StatePending || !pay.Held) {
		m.Errorf("hold gave %s/%s of credential %s to %s", pay.State, pay.Delivery, pay.CredentialHash, c.Hash)
	}
	if pay.State == payment.StatePending {
		m.procs[i].serving = append(m.procs[i].serving, pay)
		m.ran(pay)
	}
}

// ran counts an execution at the upstream.
func (m *model) ran(pay payment.Payment) {
	if pay.Redeliver {
		return
	}
	if m.runs[pay.ID]++; m.runs[pay.ID] > 1 {
		m.Errorf("I10: %s ran %d times", pay.ID, m.runs[pay.ID])
	}
}

func (m *model) credential(challenge, token int) payment.Credential {
	c := credential(m, challenge, fmt.Sprintf("tok_%d", token))
	if challenge%2 == 1 {
		c = holding(m, challenge, fmt.Sprintf("tok_%d", token))
	}
	// Challenges end after a while; there are always fresh ones.
	epoch := m.now.Unix() / 3600
	c.ChallengeID += fmt.Sprintf("-%d", epoch)
	c.Hash = fmt.Sprintf("%s-%d", c.Hash, epoch)
	return c
}

// stored picks a payment that exists.
func (m *model) stored() (payment.Payment, bool) {
	all, err := m.real.List(m.Context(), payment.Filter{}, "", 1000)
	if err != nil {
		m.Fatalf("list: %v", err)
	}
	if len(all) == 0 {
		return payment.Payment{}, false
	}
	return all[m.pick("payment", len(all))], true
}

func (m *model) serve(i int) {
	pay, ok := m.stored()
	if !ok {
		return
	}
	got, err := m.procs[i].Dispatch(m.Context(), pay, !pay.Redeliver || m.pick("durable", 2) == 0)
	m.answer("dispatch", err)
	if err != nil {
		return
	}
	m.procs[i].serving = append(m.procs[i].serving, got)
	m.ran(pay)
}

func (m *model) take(i int) (payment.Payment, bool) {
	p := m.procs[i]
	if len(p.serving) == 0 {
		return payment.Payment{}, false
	}
	n := m.pick("delivery", len(p.serving))
	pay := p.serving[n]
	p.serving = append(p.serving[:n:n], p.serving[n+1:]...)
	return pay, true
}

func (m *model) deliver(i int) {
	pay, ok := m.take(i)
	switch {
	case !ok:
	case pay.State == payment.StatePending:
		amount := usd(m, int64(m.pick("used", 4)*50)) // nothing, a part, all of it
		after, err := m.procs[i].Capture(m.Context(), pay, amount)
		m.answer("capture", err)
		if err == nil && after.State == payment.StateSettled {
			if after.Amount != amount {
				m.Errorf("%s was captured for %s", after.Amount, amount)
			}
			m.procs[i].serving = append(m.procs[i].serving, after)
		} else if err == nil && !amount.IsZero() {
			m.Errorf("capture of %s gave %s/%s", amount, after.State, after.Delivery)
		}
	default:
		m.answer("delivered", m.procs[i].Delivered(m.Context(), pay, "rcpt"))
	}
}

// refundFailed brings word that a bank sent a refund back, or old word of that.
func (m *model) refundFailed(i int) {
	if pay, ok := m.stored(); ok {
		_, err := m.procs[i].RefundFailed(m.Context(), pay.ID, pay.RefundReference, "bank")
		m.answer("refund failed", err)
	}
}

func (m *model) fail(i int) {
	pay, ok := m.take(i)
	switch {
	case !ok:
	case pay.State == payment.StatePending:
		_, err := m.procs[i].Release(m.Context(), pay, "upstream")
		m.answer("release", err)
	default:
		_, err := m.procs[i].Undelivered(m.Context(), pay, pay.Redeliver, "upstream")
		m.answer("undelivered", err)
	}
}

func (m *model) refund(i int) {
	if pay, ok := m.stored(); ok {
		_, err := m.procs[i].Refund(m.Context(), pay.ID, "operator")
		m.answer("refund", err)
	}
}

func (m *model) recover(i int) {
	_, err := m.procs[i].Recover(m.Context(), false)
	if err != nil && !strings.Contains(err.Error(), "connection lost") {
		m.answer("recover", err)
	}
}

func (m *model) pass(int) {
	m.now = m.now.Add([]time.Duration{time.Second, 30 * time.Second, 2 * time.Minute, 20 * time.Minute, 2 * time.Hour}[m.pick("time", 5)])
}

// webhook brings the rail's true word about a payment, or an old one again.
func (m *model) webhook(i int) {
	pay, ok := m.stored()
	if !ok || m.rail.Charges(pay.Key) == 0 {
		return
	}
	_, err := m.procs[i].Resolve(m.Context(), pay.ID, payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_" + pay.Key, Amount: m.rail.Taken(pay.Key)})
	m.answer("resolve", err)
}

func (m *model) pause(i int) {
	reason := ""
	if m.pick("pause", 4) == 0 {
		reason = "operator"
	}
	if err := m.procs[i].SetPaused(m.Context(), reason); err != nil {
		m.Errorf("pause: %v", err)
	}
}

func (m *model) dispute(i int) {
	if pay, ok := m.stored(); ok {
		_, err := m.procs[i].Dispute(m.Context(), pay.ID, m.pick("open", 2) == 0)
		m.answer("dispute", err)
	}
}

// sound audits the books against the rail. Only at the end must recovery have
// acted on everything.
func (m *model) sound(end bool) {
	report, err := payment.Audit(m.Context(), m.real, m.now, time.Minute)
	if err != nil {
		m.Fatalf("audit: %v", err)
	}
	for _, b := range report.Breaks {
		if end || !strings.Contains(b.What, "its window ended") {
			m.Errorf("broken: %+v", b)
		}
	}
	all, err := m.real.List(m.Context(), payment.Filter{}, "", 1000)
	if err != nil {
		m.Fatalf("list: %v", err)
	}
	charges, settled, refunded, failed := 0, 0, 0, 0
	for _, p := range all {
		n := m.rail.Charges(p.Key)
		charges += n
		if n > 1 {
			m.Errorf("I1: %s was charged %d times", p.ID, n)
		}
		if !p.SettledAt.IsZero() {
			settled++
			if n != 1 || m.rail.Taken(p.Key) != p.Amount {
				m.Errorf("%s is %s for %s but the rail has %d charges of %s", p.ID, p.State, p.Amount, n, m.rail.Taken(p.Key))
			}
		}
		if (p.State == payment.StateFailed || p.State == payment.StateVoided) && n != 0 {
			m.Errorf("%s is %s but the rail has %d charges", p.ID, p.State, n)
		}
		failed += p.RefundsFailed
		if p.State == payment.StateRefunded {
			refunded++
		}
		if end && !p.Terminal() {
			m.Errorf("%s is still %s/%s (%s)", p.ID, p.State, p.Delivery, p.Reason)
		}
		if m.ended[p.ID] && !p.Terminal() && p.RefundsFailed == 0 {
			m.Errorf("%s came back from its end to %s/%s", p.ID, p.State, p.Delivery)
		}
		if p.State == payment.StateRefunded || p.State == payment.StateVoided || p.State == payment.StateFailed {
			m.ended[p.ID] = true
		}
	}
	total, back := m.rail.Total()
	if total != charges || back < refunded+failed {
		m.Errorf("the rail has %d charges and %d refunds; the books know %d and %d", total, back, charges, refunded+failed)
	}
	if end && back > settled+failed {
		m.Errorf("%d refunds of %d settlements, of which %d came back", back, settled, failed)
	}
}

// settleDown kills both processes, heals everything, and lets time pass.
func (m *model) settleDown() {
	m.rail.Heal()
	m.boot(0)
	m.boot(1)
	if err := m.procs[0].SetPaused(m.Context(), ""); err != nil {
		m.Errorf("pause: %v", err)
	}
	for range 40 {
		m.now = m.now.Add(time.Minute)
		for _, p := range m.procs {
			if _, err := p.Recover(m.Context(), false); err != nil {
				m.Errorf("recovery of a healthy seller: %v", err)
			}
		}
	}
	m.sound(true)
}

package x402

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"paywall/payment"
	"paywall/x402/evm"
)

// maxConstant bounds what of a challenge is the same for every request, as it
// travels: some intermediaries refuse fields above 4 KiB, and the URL comes on top.
const maxConstant = 3584

// ErrTooLarge means a challenge that would not pass everywhere.
var ErrTooLarge = errors.New("challenge is too large for a header")

// entry is an offer as it is stated, with all that payments are compared with.
type entry struct {
	offer payment.Offer
	need  PaymentRequirements
	raw   []byte // need, as most clients copy it
	kind  proofKind
	// Of a transfer or permit.
	asset, payTo, facilitator evm.Address
	v1                        string // the network's name, if it can be paid in version 1
}

type dialect struct {
	cfg        *Config
	entries    []entry
	extensions []declared
	resource   ResourceInfo
	accepts    []byte // JSON
	constant   []byte // of extensions, in JSON without braces
	fresh      bool   // an extension differs from challenge to challenge
	required   template
	v1         [][]byte // of a body of version 1, with the URL between each two
}

// Compile implements [payment.Protocol]. Offers of rails that have no binding are
// left out. It is [ErrTooLarge] when what never changes is above 3.5 KiB.
func (p *Protocol) Compile(_ string, offers []payment.Offer) (payment.Dialect, error) {
	d := &dialect{cfg: &p.cfg}
	var kept []payment.Offer
	var needs []PaymentRequirements
	for _, o := range offers {
		e, err := p.state(o)
		if err != nil {
			continue
		}
		if e.raw, err = marshal(e.need); err != nil {
			return nil, err
		}
		d.entries = append(d.entries, e)
		kept, needs = append(kept, o), append(needs, e.need)
	}
	if len(d.entries) == 0 {
		return nil, fmt.Errorf("x402: %w", payment.ErrNotOffered)
	}
	d.resource = ResourceInfo{
		Description: d.entries[0].offer.Quote.Description,
		ServiceName: p.cfg.ServiceName, Tags: p.cfg.Tags, IconURL: p.cfg.IconURL,
	}
	var err error
	if d.extensions, err = declare(p.cfg.Extensions, kept, needs); err != nil {
		return nil, err
	}
	if d.accepts, err = marshal(needs); err != nil {
		return nil, err
	}
	for {
		err := d.render()
		if !errors.Is(err, ErrTooLarge) || !d.shed() {
			return d, err
		}
	}
}

// shed leaves out the last extension that a challenge can do without.
func (d *dialect) shed() bool {
	for i, e := range slices.Backward(d.extensions) {
		if e.Spare {
			d.extensions = slices.Delete(d.extensions, i, i+1)
			return true
		}
	}
	return false
}

var errExpress = errors.New("cannot be expressed")

// state makes the entry of one offer.
func (p *Protocol) state(o payment.Offer) (entry, error) {
	e := entry{offer: o}
	if !o.Amount.IsPositive() {
		return e, errExpress
	}
	for i := range p.cfg.Bindings {
		if b := &p.cfg.Bindings[i]; b.Method == o.Method && !o.Metered {
			return p.bound(e, b)
		}
	}
	if o.Protocol != p.Name() {
		return e, errExpress
	}
	if err := readObject(o.Details, member{"scheme", &e.need.Scheme, true}, member{"network", &e.need.Network, true},
		member{"asset", &e.need.Asset, true}, member{"payTo", &e.need.PayTo, true},
		member{"maxTimeoutSeconds", &e.need.MaxTimeoutSeconds, true}, member{"extra", &e.need.Extra, false}); err != nil {
		return e, err
	}
	e.need.Amount = strconv.FormatInt(o.Amount.Units(), 10)
	return e.chain()
}

// bound is the entry of a processor's rail.
func (p *Protocol) bound(e entry, b *Binding) (entry, error) {
	code := e.offer.Amount.Currency()
	if len(code) != 3 { // an ISO code is in capitals: money sees to it
		return e, errExpress
	}
	flow := FlowUpfront
	if e.offer.Hold {
		flow = FlowEscrow
	}
	extra, err := b.extra(flow)
	e.kind = token
	e.need = PaymentRequirements{
		Scheme: b.Scheme, Network: b.Network, Amount: strconv.FormatInt(e.offer.Amount.Units(), 10), Asset: code,
		PayTo: b.PayTo, MaxTimeoutSeconds: p.cfg.MaxTimeoutSeconds, Extra: extra,
	}
	return e, err
}

// chain completes the entry of a stablecoin, and refuses one that could not be
// checked: its payer would sign for nothing.
func (e entry) chain() (entry, error) {
	if _, err := evm.ChainID(e.need.Network); err != nil || e.need.Network != e.offer.Network || e.need.MaxTimeoutSeconds <= 0 {
		return e, errExpress
	}
	var r parser
	e.asset, e.payTo = parse(&r, evm.ParseAddress, e.need.Asset), parse(&r, evm.ParseAddress, e.need.PayTo)
	transferMethod := e.need.Text(ExtraTransferMethod)
	switch {
	case e.need.Text("name") == "" || e.need.Text("version") == "":
		return e, errExpress
	case e.need.Scheme == SchemeExact && (transferMethod == "" || transferMethod == TransferEIP3009) && !e.offer.Metered:
		e.kind = transfer
		e.v1, _ = NetworkV1(e.need.Network)
	case e.need.Scheme == SchemeUpto && transferMethod == TransferPermit2:
		e.kind = permit
		e.facilitator = parse(&r, evm.ParseAddress, e.need.Text("facilitatorAddress"))
	default:
		return e, errExpress
	}
	return e, r.err
}

// template is JSON in base64 with one place for a URL. The parts before and behind it
// are encoded once; as base64 writes three bytes at a time, the end exists for each
// number of bytes that its first group can have got from the URL.
type template struct {
	head string
	tail [3]string
	json []byte // the end as it is
}

func newTemplate(head, tail []byte) template {
	// White space brings the head to whole groups.
	for len(head)%3 != 0 {
		head = append([]byte{head[0], ' '}, head[1:]...)
	}
	t := template{head: base64.StdEncoding.EncodeToString(head), json: tail}
	for i := range t.tail {
		t.tail[i] = base64.StdEncoding.EncodeToString(tail[i:])
	}
	return t
}

// size is what is constant, as it travels.
func (t *template) size() int { return len(t.head) + len(t.tail[0]) }

// fill writes the field with the URL, which is origin and target.
func (t *template) fill(origin, target string) string {
	var room [384]byte
	b := appendText(append(room[:0], origin...), target)
	taken := (3 - len(b)%3) % 3
	b = append(b, t.json[:taken]...)
	var encoded [512]byte
	middle := base64.StdEncoding.AppendEncode(encoded[:0], b)
	var out strings.Builder
	out.Grow(len(t.head) + len(middle) + len(t.tail[taken]))
	out.WriteString(t.head)
	out.Write(middle)
	out.WriteString(t.tail[taken])
	return out.String()
}

// render writes out what never changes.
func (d *dialect) render() error {
	var parts [][]byte
	d.fresh = false
	for i := range d.extensions {
		e := &d.extensions[i]
		d.fresh = d.fresh || e.Fresh != nil
		if e.Fresh != nil {
			continue
		}
		id, err := marshal(e.id)
		if err != nil {
			return err
		}
		parts = append(parts, append(append(id, ':'), e.Object...))
	}
	d.constant = bytes.Join(parts, []byte{','})
	head, tail, err := d.frame(errorRequired)
	if err != nil {
		return err
	}
	d.required = newTemplate(head, tail)
	size := d.required.size()
	for i := range d.extensions {
		if d.extensions[i].Fresh != nil {
			size += base64.StdEncoding.EncodedLen(len(d.extensions[i].id) + len(d.extensions[i].Object) + d.extensions[i].Room)
		}
	}
	if size > maxConstant {
		return fmt.Errorf("x402: %d bytes: %w", size, ErrTooLarge)
	}
	return d.renderV1()
}

// frame is a PAYMENT-REQUIRED before and behind the URL, without what is fresh.
func (d *dialect) frame(problem string) (head, tail []byte, err error) {
	text, err := marshal(problem)
	if err != nil {
		return nil, nil, err
	}
	resource, err := marshal(d.resource)
	if err != nil {
		return nil, nil, err
	}
	const open = `{"url":"`
	head = append([]byte(`{"x402Version":2,"error":`), text...)
	head = append(append(head, `,"resource":`...), open...)
	tail = append(tail, resource[len(open):]...) // the URL is empty there
	tail = append(append(tail, `,"accepts":`...), d.accepts...)
	if len(d.constant) > 0 {
		tail = append(append(append(tail, `,"extensions":{`...), d.constant...), '}')
	}
	return head, append(tail, '}'), nil
}

// renderV1 writes out the entries of a body of version 1, cut where the URL goes.
func (d *dialect) renderV1() error {
	if d.cfg.NoV1 {
		return nil
	}
	var last []byte
	for _, e := range d.entries {
		if e.v1 == "" {
			continue
		}
		// Members in an order of our own: the URL last, then the piece that follows.
		extra := map[string]json.RawMessage{"name": e.need.Extra["name"], "version": e.need.Extra["version"]}
		b, err := marshal(RequirementsV1{
			Scheme: e.need.Scheme, Network: e.v1, MaxAmountRequired: e.need.Amount, Description: d.resource.Description,
			PayTo: e.need.PayTo, MaxTimeoutSeconds: e.need.MaxTimeoutSeconds, Asset: e.need.Asset, Extra: extra,
		})
		if err != nil {
			return err
		}
		const open = `"resource":"`
		at := bytes.Index(b, []byte(open))
		if at < 0 {
			return errExpress
		}
		at += len(open)
		if len(d.v1) == 0 {
			last = []byte(`,"accepts":[`)
		} else {
			last = append(last, ',')
		}
		d.v1 = append(d.v1, append(last, b[:at]...))
		last = bytes.Clone(b[at:])
	}
	if len(d.v1) > 0 {
		d.v1 = append(d.v1, append(last, ']'))
	}
	return nil
}

// appendText appends the inside of a JSON string. Targets are canonical and have
// nothing to escape; that is not relied on.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

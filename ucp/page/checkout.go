package page

import (
	"net/http"
	"net/url"
	"strconv"

	"paywall/checkout"
)

// states says what a status means to a person.
var states = map[checkout.Status]string{
	checkout.Incomplete:         "Something is missing",
	checkout.RequiresEscalation: "You are asked to act",
	checkout.Ready:              "Ready to be paid",
	checkout.InProgress:         "Being paid",
	checkout.Completed:          "Bought",
	checkout.Canceled:           "Ended",
}

// refreshEvery is after how many seconds a page looks again while something moves.
const refreshEvery = 3

func (h *Handler) checkout(w http.ResponseWriter, r *http.Request, id, note string) {
	s, err := h.cfg.Session(r.Context(), id)
	switch {
	case missing(err) || err == nil && s.Kind != checkout.KindCheckout:
		h.nothing(w, r)
		return
	case err != nil:
		h.fault(w, r, err)
		return
	}
	body := `<h1>` + text(orElse(h.cfg.Shop, "Checkout")) + `</h1>` + h.agent(s) + `<p class="state">` + text(states[s.Status]) + `</p>`
	if note != "" {
		body += `<p class="note">` + text(note) + `</p>`
	}
	refresh := 0
	switch s.Status {
	case checkout.Completed:
		body += `<p>Thank you. <a href="` + text(h.Order(s.Order)) + `">See the order</a>.</p>`
	case checkout.Canceled:
		body += `<p>This checkout has ended and nothing can be paid any more. Ask the agent for another one.</p>`
	case checkout.InProgress:
		refresh = refreshEvery
		body += `<p>The payment is being made. Do not pay again: this page shows what came of it.</p>`
	case checkout.RequiresEscalation:
		body += `<p>The payment wants you to act: approve it in your wallet or at your bank, and let the agent pay again.</p>`
	case checkout.Incomplete, checkout.Ready:
	}
	if !s.Status.Final() {
		body += messages(append(append([]checkout.Message{}, s.Priced.Messages...), s.Notice...))
	}
	body += lines(s.Priced)
	body += delivery(s.Priced)
	if payable := s.Status == checkout.Ready || s.Status == checkout.RequiresEscalation; payable && h.cfg.Pay != nil {
		body += `<form method="post" action="` + text(h.Checkout(id)+"/pay") + `"><button>Pay ` + total(s.Priced) + ` with play money</button></form>` +
			`<p class="soft">This is the sandbox: no money moves.</p>`
	} else if payable {
		body += `<p class="soft">Your agent pays this. It may ask you to approve the amount in your wallet.</p>`
	}
	h.write(w, r, http.StatusOK, orElse(h.cfg.Shop, "Checkout")+": "+states[s.Status], refresh, body+h.links())
}

// agent says who has filled the cart: whoever completes it should know.
func (h *Handler) agent(s checkout.Session) markup {
	u, err := url.Parse(s.Platform.Profile)
	if err != nil || u.Host == "" {
		return ""
	}
	return `<p class="soft">A checkout made by the agent of <b>` + text(u.Host) + `</b></p>`
}

func messages(list []checkout.Message) (out markup) {
	for _, m := range list {
		if m.Type != checkout.TypeInfo && m.Content != "" {
			out += `<p class="note">` + text(m.Content) + `</p>`
		}
	}
	return out
}

func total(p checkout.Priced) markup { return amount(p.Total(), p.Currency, p.Scale) }

func lines(p checkout.Priced) markup {
	out := markup(`<table>`)
	for _, l := range p.Lines {
		out += row(l, p.Currency, p.Scale, "")
	}
	for _, t := range p.Totals {
		class := markup("sum")
		if t.Type == checkout.TotalTotal {
			class = "all"
		} else if t.Type == checkout.TotalSubtotal && len(p.Totals) == 2 {
			continue // it says what the total says
		}
		out += `<tr class="` + class + `"><td>` + text(label(t)) + `</td><td>` + amount(t.Amount, p.Currency, p.Scale) + `</td></tr>`
	}
	return out + `</table>`
}

func row(l checkout.Line, currency string, scale int, note markup) markup {
	out := `<tr><td>` + text(l.Title)
	if l.Quantity > 1 {
		out += `<small>` + text(strconv.FormatInt(l.Quantity, 10)) + ` × ` + amount(l.Price, currency, scale) + `</small>`
	}
	return out + note + `</td><td>` + amount(l.Subtotal, currency, scale) + `</td></tr>`
}

var labels = map[string]string{
	checkout.TotalSubtotal: "Items", checkout.TotalItemsDiscount: "Discounts on items", checkout.TotalDiscount: "Discount",
	checkout.TotalFulfillment: "Delivery", checkout.TotalTax: "Tax", checkout.TotalTotal: "Total",
}

func label(t checkout.Total) string { return orElse(orElse(t.Text, labels[t.Type]), t.Type) }

// delivery says how the goods come, without telling where: whoever has the link may
// not be the buyer.
func delivery(p checkout.Priced) (out markup) {
	for _, m := range p.Fulfillment {
		for _, g := range m.Groups {
			for _, o := range g.Options {
				if o.ID != g.Option {
					continue
				}
				out += `<p class="soft">` + text(o.Title)
				if !o.Latest.IsZero() {
					out += `, by ` + text(o.Latest.Format("2 January 2006"))
				}
				out += `</p>`
			}
		}
	}
	return out
}

func (h *Handler) links() (out markup) {
	if h.cfg.Links == nil {
		return ""
	}
	for _, l := range h.cfg.Links() {
		if out != "" {
			out += " · "
		}
		out += `<a href="` + text(l.URL) + `" rel="noreferrer">` + text(orElse(l.Title, orElse(names[l.Type], l.Type))) + `</a>`
	}
	if out == "" {
		return ""
	}
	return `<h2>Terms</h2><p class="soft">` + out + `</p>`
}

var names = map[string]string{
	"terms_of_service": "Terms of service", "privacy_policy": "Privacy", "refund_policy": "Refunds", "shipping_policy": "Delivery", "faq": "Questions",
}

func orElse(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

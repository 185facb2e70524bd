package page

import (
	"encoding/json"
	"net/http"
	"strings"

	"paywall/checkout"
)

func (h *Handler) order(w http.ResponseWriter, r *http.Request, id string) {
	o, err := h.cfg.Order(r.Context(), id)
	switch {
	case missing(err):
		h.nothing(w, r)
		return
	case err != nil:
		h.fault(w, r, err)
		return
	}
	if wantsData(r) {
		h.data(w, r, o)
		return
	}
	body := `<h1>Your order</h1><p class="soft">` + text(orElse(h.cfg.Shop, "Shop")) + `, ` + text(o.CreatedAt.Format("2 January 2006, 15:04 MST")) +
		`<br><code>` + text(o.ID) + `</code></p>`
	body += buyer(o)
	for _, a := range o.Adjustments {
		body += `<p class="note">` + text(adjustment(a)) + ` (` + amount(a.Amount, o.Currency, o.Scale) + `)</p>`
	}
	body += `<table>`
	for _, l := range o.Lines {
		body += row(l.Line, o.Currency, o.Scale, `<small>`+text(became[l.Status()])+`</small>`)
	}
	for _, t := range o.Totals {
		class := markup("sum")
		if t.Type == checkout.TotalTotal {
			class = "all"
		} else if t.Type == checkout.TotalSubtotal && len(o.Totals) == 2 {
			continue
		}
		body += `<tr class="` + class + `"><td>` + text(label(t)) + `</td><td>` + amount(t.Amount, o.Currency, o.Scale) + `</td></tr>`
	}
	body += `</table>` + tracking(o) + h.access(r, o)
	h.write(w, r, http.StatusOK, "Your order", 0, body+h.links())
}

// wantsData reports whether who asks is no browser: it wants JSON and no page.
func wantsData(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// data is the page for agents that know an order's link and no more of us: what became
// of the lines, and the receipts.
func (h *Handler) data(w http.ResponseWriter, r *http.Request, o checkout.Order) {
	type line struct {
		ID       string `json:"id"`
		Title    string `json:"title"`
		Quantity int64  `json:"quantity"`
		Status   string `json:"status"`
	}
	out := struct {
		ID       string    `json:"id"`
		Lines    []line    `json:"line_items"`
		Receipts []Receipt `json:"receipts"`
	}{o.ID, []line{}, []Receipt{}}
	for _, l := range o.Lines {
		out.Lines = append(out.Lines, line{l.ID, l.Title, l.Quantity, l.Status()})
	}
	if h.cfg.Receipts != nil {
		out.Receipts = append(out.Receipts, h.cfg.Receipts(r.Context(), o)...)
	}
	data, err := json.Marshal(out)
	if err != nil {
		h.fault(w, r, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Vary", "Accept")
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

var became = map[string]string{"fulfilled": "Delivered", "partial": "Partly delivered", "processing": "On its way to you", "removed": "Taken out of the order"}

// buyer names whose order it is as far as the buyer recognises it.
func buyer(o checkout.Order) markup {
	name, domain, ok := strings.Cut(o.Buyer.Email, "@")
	if !ok || name == "" {
		return ""
	}
	first := []rune(name)[:1]
	return `<p class="soft">Confirmation to ` + text(string(first)+"…@"+domain) + `</p>`
}

func adjustment(a checkout.Adjustment) string {
	switch a.Type + "/" + a.Status {
	case "refund/pending":
		return "The payment is being returned"
	case "refund/completed":
		return "The payment was returned"
	case "refund/failed":
		return "The payment could not be returned yet; the seller sees to it"
	case "dispute/pending":
		return "The payment is disputed"
	}
	return "The dispute of the payment is over"
}

func tracking(o checkout.Order) (out markup) {
	for _, e := range o.Events {
		if e.Tracking == "" {
			continue
		}
		number := text(e.Tracking)
		if strings.HasPrefix(e.TrackingURL, "https://") {
			number = `<a href="` + text(e.TrackingURL) + `" rel="noreferrer">` + number + `</a>`
		}
		out += `<p class="soft">` + text(orElse(e.Carrier, "Parcel")) + ": " + number + `</p>`
	}
	return out
}

// access shows what the order opens. Whoever has the order's link has bought it.
func (h *Handler) access(r *http.Request, o checkout.Order) (out markup) {
	if h.cfg.Receipts == nil {
		return ""
	}
	for _, one := range h.cfg.Receipts(r.Context(), o) {
		use := "curl -H \"Authorization: Bearer " + one.Token + "\" '" + strings.ReplaceAll(one.Opens, "'", "%27") + "'"
		out += `<h2>` + text(one.Title) + `</h2><p class="soft">Opens <code>` + text(one.Opens) + `</code> until ` + text(one.Expires.Format("2 January 2006, 15:04 MST")) +
			`. Keep this receipt to yourself: whoever has it can use it.</p><details><summary>Show the receipt</summary><pre>` + text(use) + `</pre></details>`
	}
	return out
}

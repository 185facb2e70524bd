package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/money"
	"paywall/ucp/events"
)

type orderView struct {
	ID       string   `json:"id"`
	Created  string   `json:"created"`
	Total    string   `json:"total"`
	Payment  string   `json:"payment,omitempty"`
	Platform string   `json:"platform,omitempty"`
	Email    string   `json:"email,omitempty"`
	Lines    []string `json:"lines"`
	Status   string   `json:"status"`
	Notes    []string `json:"notes,omitempty"`
}

func viewOfOrder(o checkout.Order) orderView {
	v := orderView{ID: o.ID, Created: o.CreatedAt.Format(time.RFC3339), Payment: o.Payment, Platform: o.Platform.Profile, Email: o.Buyer.Email, Status: "fulfilled", Lines: []string{}}
	for _, t := range o.Totals {
		if t.Type == checkout.TotalTotal {
			if a, err := money.New(t.Amount, o.Currency, o.Scale); err == nil {
				v.Total = a.String()
			}
		}
	}
	for _, l := range o.Lines {
		v.Lines = append(v.Lines, fmt.Sprintf("%s: %d x %s (%s)", l.ID, l.Quantity, l.Title, l.Status()))
		if s := l.Status(); s == "processing" || s == "partial" {
			v.Status = "open"
		}
	}
	for _, a := range o.Adjustments {
		v.Notes = append(v.Notes, a.Type+" "+a.Status)
	}
	if o.Erased {
		v.Notes = append(v.Notes, "erased")
	}
	return v
}

// maxListed bounds one page of a list.
const maxListed = 200

func (o *operator) noShop(w http.ResponseWriter) bool {
	if o.shop == nil {
		writeProblem(w, http.StatusNotFound, "Nothing is sold over UCP here.")
	}
	return o.shop == nil
}

func limitOf(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || n < 1 || n > maxListed {
		return 50
	}
	return n
}

func (o *operator) listOrders(w http.ResponseWriter, r *http.Request) {
	if o.noShop(w) {
		return
	}
	list, err := o.shop.store.Orders(r.Context(), r.URL.Query().Get("after"), limitOf(r))
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "Orders cannot be read.")
		return
	}
	views := []orderView{}
	for _, one := range list {
		views = append(views, viewOfOrder(one))
	}
	writeJSON(w, views)
}

func (o *operator) showOrder(w http.ResponseWriter, r *http.Request) {
	if o.noShop(w) {
		return
	}
	one, err := o.shop.store.Order(r.Context(), r.PathValue("id"))
	o.answerOrder(w, one, err)
}

func (*operator) answerOrder(w http.ResponseWriter, one checkout.Order, err error) {
	e, known := errors.AsType[*checkout.Error](err)
	switch {
	case errors.Is(err, checkout.ErrNotFound), known && e.Kind == checkout.KindNotFound:
		writeProblem(w, http.StatusNotFound, "There is no such order.")
	case known && e.Kind == checkout.KindInvalid:
		writeProblem(w, http.StatusBadRequest, e.Messages[0].Content)
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "The order cannot be read or changed now.")
	default:
		writeJSON(w, viewOfOrder(one))
	}
}

type shipBody struct {
	Type        string           `json:"type"`
	Lines       map[string]int64 `json:"lines"`
	Tracking    string           `json:"tracking"`
	TrackingURL string           `json:"tracking_url"`
	Carrier     string           `json:"carrier"`
}

func (o *operator) changeOrder(w http.ResponseWriter, r *http.Request) {
	if o.noShop(w) {
		return
	}
	id := r.PathValue("id")
	switch r.PathValue("act") {
	case "ship":
		var in shipBody
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
			writeProblem(w, http.StatusBadRequest, "The body says what was shipped.")
			return
		}
		e := checkout.FulfillmentEvent{Type: in.Type, Tracking: in.Tracking, TrackingURL: in.TrackingURL, Carrier: in.Carrier}
		for line, n := range in.Lines {
			e.Lines = append(e.Lines, checkout.Moved{Line: line, Quantity: n})
		}
		one, err := o.shop.service.Ship(r.Context(), id, e)
		o.answerOrder(w, one, err)
	case "erase":
		one, err := o.shop.service.Erase(r.Context(), id)
		o.answerOrder(w, one, err)
	default:
		writeProblem(w, http.StatusNotFound, "Nothing is here.")
	}
}

type deliveryView struct {
	ID       string `json:"id"`
	Order    string `json:"order"`
	URL      string `json:"url"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Next     string `json:"next,omitempty"`
	Note     string `json:"note,omitempty"`
}

func (o *operator) listDeliveries(w http.ResponseWriter, r *http.Request) {
	if o.noShop(w) {
		return
	}
	q := r.URL.Query()
	list, err := o.shop.store.Deliveries(r.Context(), q.Get("state"), q.Get("after"), limitOf(r))
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "Order events cannot be read.")
		return
	}
	views := []deliveryView{}
	for _, d := range list {
		v := deliveryView{ID: d.ID, Order: d.Order, URL: d.URL, State: d.State, Attempts: d.Attempts, Note: d.Note}
		if d.State == checkout.DeliveryPending {
			v.Next = d.Next.Format(time.RFC3339)
		}
		views = append(views, v)
	}
	writeJSON(w, views)
}

func (o *operator) resendDelivery(w http.ResponseWriter, r *http.Request) {
	if o.noShop(w) {
		return
	}
	d, err := o.shop.store.Delivery(r.Context(), r.PathValue("id"))
	if err == nil {
		err = o.shop.events.Resend(r.Context(), d)
	}
	switch {
	case errors.Is(err, checkout.ErrNotFound):
		writeProblem(w, http.StatusNotFound, "There is no such event.")
	case errors.Is(err, events.ErrErased):
		writeProblem(w, http.StatusConflict, "What was to be sent was erased.")
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "The event cannot be sent again now.")
	default:
		writeJSON(w, deliveryView{ID: d.ID, Order: d.Order, URL: d.URL, State: checkout.DeliveryPending})
	}
}

type ordersCmd struct {
	List   ordersListCmd   `cmd:"" help:"List orders, newest first."`
	Show   ordersShowCmd   `cmd:"" help:"Show one order."`
	Ship   ordersShipCmd   `cmd:"" help:"Say that goods are on their way; their platform is told."`
	Erase  ordersEraseCmd  `cmd:"" help:"Take personal data out of an order."`
	Events ordersEventsCmd `cmd:"" help:"List what platforms were told, or are to be told."`
	Resend ordersResendCmd `cmd:"" help:"Send an event again."`
}

type ordersListCmd struct {
	configured

	After string `help:"List what comes behind this order."`
	Limit int    `help:"How many." default:"50"`
}

// Run asks the running server.
func (c *ordersListCmd) Run(ctx context.Context, p *Process) error {
	var list []orderView
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}, "after": {c.After}}
	if err := c.admin(ctx, p, http.MethodGet, "/admin/orders?"+q.Encode(), nil, &list); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	t := newTable(p.Stdout, "order", "created", "total", "status", "notes")
	for _, o := range list {
		t.row(o.ID, o.Created, o.Total, o.Status, strings.Join(o.Notes, ", "))
	}
	return t.flush()
}

type ordersShowCmd struct {
	configured

	ID string `arg:"" help:"The order's id, ord_…"`
}

// Run asks the running server.
func (c *ordersShowCmd) Run(ctx context.Context, p *Process) error {
	return c.order(ctx, p, http.MethodGet, "/admin/orders/"+url.PathEscape(c.ID), nil)
}

func (c configured) order(ctx context.Context, p *Process, method, path string, body any) error {
	var o orderView
	if err := c.admin(ctx, p, method, path, body, &o); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	return printJSON(p, o)
}

type ordersShipCmd struct {
	configured

	ID          string   `arg:"" help:"The order's id, ord_…"`
	Line        []string `help:"A line and how many of it, li_…:2. Without one, all that is left. May be repeated."`
	Type        string   `help:"What has happened." enum:"shipped,in_transit,delivered,failed_attempt,canceled,returned_to_sender" default:"shipped"`
	Tracking    string   `help:"The parcel's number."`
	TrackingURL string   `name:"tracking-url" help:"Where it can be followed, https://…"`
	Carrier     string   `help:"Who carries it."`
}

// Run tells the running server, which alone writes to the store.
func (c *ordersShipCmd) Run(ctx context.Context, p *Process) error {
	body := shipBody{Type: c.Type, Tracking: c.Tracking, TrackingURL: c.TrackingURL, Carrier: c.Carrier, Lines: map[string]int64{}}
	for _, text := range c.Line {
		id, count, ok := strings.Cut(text, ":")
		n, err := strconv.ParseInt(count, 10, 64)
		if !ok || err != nil || n < 1 {
			return exitWith(exitUsage, fmt.Errorf("--line %q is not a line and a number; write li_…:2", text))
		}
		body.Lines[id] += n
	}
	return c.order(ctx, p, http.MethodPost, "/admin/orders/"+url.PathEscape(c.ID)+"/ship", body)
}

type ordersEraseCmd struct {
	configured

	ID string `arg:"" help:"The order's id, ord_…"`
}

// Run tells the running server.
func (c *ordersEraseCmd) Run(ctx context.Context, p *Process) error {
	return c.order(ctx, p, http.MethodPost, "/admin/orders/"+url.PathEscape(c.ID)+"/erase", nil)
}

type ordersEventsCmd struct {
	configured

	State string `help:"Of this state: pending, sent or dead." enum:",pending,sent,dead" default:""`
	After string `help:"List what comes behind this event."`
	Limit int    `help:"How many." default:"50"`
}

// Run asks the running server.
func (c *ordersEventsCmd) Run(ctx context.Context, p *Process) error {
	var list []deliveryView
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}, "after": {c.After}, "state": {c.State}}
	if err := c.admin(ctx, p, http.MethodGet, "/admin/deliveries?"+q.Encode(), nil, &list); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	t := newTable(p.Stdout, "event", "order", "state", "tries", "next", "note", "to")
	for _, d := range list {
		t.row(d.ID, d.Order, d.State, strconv.Itoa(d.Attempts), d.Next, d.Note, d.URL)
	}
	return t.flush()
}

type ordersResendCmd struct {
	configured

	ID string `arg:"" help:"The event's id, whk_…"`
}

// Run tells the running server.
func (c *ordersResendCmd) Run(ctx context.Context, p *Process) error {
	var d deliveryView
	if err := c.admin(ctx, p, http.MethodPost, "/admin/deliveries/"+url.PathEscape(c.ID)+"/resend", nil, &d); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	return printJSON(p, d)
}

package stripe

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Statuses of intents, charges and refunds.
const (
	statusMethod       = "requires_payment_method"
	statusConfirmation = "requires_confirmation"
	statusAction       = "requires_action"
	statusCapture      = "requires_capture"
	statusSucceeded    = "succeeded"
	statusCanceled     = "canceled"
	statusPending      = "pending"
	statusFailed       = "failed"
)

// An intent is one payment from its wish to its end.
type intent struct {
	id       string
	secret   string
	created  time.Time
	key      string // the idempotency key that made it
	status   string
	amount   int64
	currency string
	capture  string

	method   *method
	token    *token // to be charged, or charged
	coin     *coin  // how it is paid with stablecoins, if it is
	latest   *charge
	received int64
	failure  object
	next     any
	canceled time.Time
	cancelBy string

	metadata     map[string]string
	types        []string
	automatic    bool
	redirects    string
	customer     string
	description  string
	email        string
	descriptor   string
	suffix       string
	setup        string
	fee          int64
	onBehalf     string
	destination  string
	transferred  any
	group        string
	confirmation string
}

func (i *intent) ident() string   { return i.id }
func (i *intent) born() time.Time { return i.created }

func (i *intent) render() object {
	var latest, methodID, fee, transfer, automatic any
	if i.latest != nil {
		latest = i.latest.id
	}
	if i.method != nil {
		methodID = i.method.id
	}
	if i.fee > 0 {
		fee = i.fee
	}
	if i.destination != "" {
		transfer = object{"destination": i.destination, "amount": i.transferred}
	}
	if i.automatic {
		automatic = object{"enabled": true, "allow_redirects": i.redirects}
	}
	var failure any
	if i.failure != nil {
		failure = i.failure
	}
	capturable := int64(0)
	if i.status == statusCapture {
		capturable = i.amount
	}
	return object{
		"id": i.id, "object": "payment_intent", "amount": i.amount, "amount_capturable": capturable,
		"amount_details": object{"tip": object{}}, "amount_received": i.received, "application": nil,
		"application_fee_amount": fee, "automatic_payment_methods": automatic, "canceled_at": unix(i.canceled),
		"cancellation_reason": orNull(i.cancelBy), "capture_method": i.capture, "client_secret": i.secret,
		"confirmation_method": i.confirmation, "created": i.created.Unix(), "currency": i.currency,
		"customer": orNull(i.customer), "description": orNull(i.description), "last_payment_error": failure,
		"latest_charge": latest, "livemode": false, "metadata": notes(i.metadata), "next_action": i.next,
		"on_behalf_of": orNull(i.onBehalf), "payment_method": methodID, "payment_method_options": object{},
		"payment_method_types": i.types, "processing": nil, "receipt_email": orNull(i.email), "review": nil,
		"setup_future_usage": orNull(i.setup), "shared_payment_granted_token": nil, "shipping": nil, "source": nil,
		"statement_descriptor": orNull(i.descriptor), "statement_descriptor_suffix": orNull(i.suffix), "status": i.status,
		"transfer_data": transfer, "transfer_group": orNull(i.group),
	}
}

// A source is what an intent is to be paid with, as the call named it.
type source struct {
	method string
	token  string
	param  string
	given  bool
}

// readSource reads payment_method, payment_method_data and the token in either
// of the two places that clients put it.
func readSource(c *call) source {
	var s source
	set := func(param, method, token string) {
		if s.given {
			c.fail(invalid("parameters_exclusive", param, "You may only specify one of these parameters: %s, %s.", s.param, param))
			return
		}
		s = source{method: method, token: token, param: param, given: true}
	}
	if v := c.str("payment_method"); v != "" {
		set("payment_method", v, "")
	}
	if v := c.str("shared_payment_granted_token"); v != "" {
		set("shared_payment_granted_token", "", v)
	}
	data := c.group("payment_method_data")
	kind := data.one("type", "card", "link", "affirm", "klarna", "crypto")
	if v := data.str("shared_payment_granted_token"); v != "" {
		set("payment_method_data[shared_payment_granted_token]", "", v)
	}
	card := data.group("card")
	if v := card.str("token"); v != "" {
		set("payment_method_data[card][token]", v, "")
	}
	if card.has("number") {
		c.fail(invalid("", "payment_method_data[card][number]", "Sending credit card numbers directly is generally unsafe. "+
			"The sandbox takes test payment methods by name, pm_card_visa for example."))
	}
	if kind == "link" && !s.given {
		set("payment_method_data[type]", "pm_link", "")
	}
	data.ignore("billing_details", "metadata", "allow_redisplay", "radar_options", "link", "card")
	return s
}

// terms are the parameters of an intent that do not depend on how it is paid.
type terms struct {
	off, failOnAction bool
	returnURL         string
}

// readIntent reads what create, update and confirm share into i.
func readIntent(c *call, i *intent) terms {
	i.metadata = c.metadata("metadata", i.metadata)
	text := func(into *string, name string) {
		if c.has(name) {
			*into = c.str(name)
		}
	}
	text(&i.customer, "customer")
	text(&i.description, "description")
	text(&i.email, "receipt_email")
	text(&i.descriptor, "statement_descriptor")
	text(&i.suffix, "statement_descriptor_suffix")
	text(&i.group, "transfer_group")
	if c.has("setup_future_usage") {
		i.setup = c.one("setup_future_usage", "on_session", "off_session")
	}
	if c.has("payment_method_types") {
		i.types, i.automatic = c.list("payment_method_types"), false
		for _, t := range i.types {
			if !slices.Contains([]string{"card", "link", "affirm", "klarna"}, t) && (i.coin == nil || t != "crypto") {
				c.fail(invalid("", "payment_method_types", "The payment method type \"%.40s\" is invalid.", t))
			}
		}
	}
	if n, ok := c.integer("application_fee_amount", 0); ok {
		i.fee = n
	}
	checkDescriptor(c, i)
	if options := c.group("payment_method_options"); options.has("crypto") && i.coin == nil {
		c.fail(unknownParameter("payment_method_options[crypto]"))
	}
	if i.coin == nil { // of which every member counts
		c.ignore("payment_method_options")
	}
	c.ignore("use_stripe_sdk", "mandate_data", "shipping", "radar_options", "hooks", "agent_details",
		"amount_details", "payment_details", "client_secret", "excluded_payment_method_types")
	return terms{off: c.one("off_session", "true", "false", "one_off", "recurring") == "true", failOnAction: c.flag("error_on_requires_action"), returnURL: c.str("return_url")}
}

func checkDescriptor(c *call, i *intent) {
	if i.descriptor != "" {
		c.fail(invalid("", "statement_descriptor", "The statement_descriptor parameter is not supported for card payments. "+
			"Use statement_descriptor_suffix instead."))
	}
	letters := strings.ContainsFunc(i.suffix, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
	if i.suffix != "" && (len(i.suffix) > 22 || !letters || strings.ContainsAny(i.suffix, `<>\'"*`)) {
		c.fail(invalid("", "statement_descriptor_suffix", "The statement descriptor suffix must contain at least one letter, "+
			"at most 22 characters, and none of < > \\ ' \" *."))
	}
	if len(i.description) > 1000 {
		c.fail(invalid("", "description", "The description must be at most 1000 characters."))
	}
}

func (s *Server) createIntent(c *call) (object, error) {
	i := &intent{created: c.now, key: c.key, status: statusMethod, automatic: true, redirects: "always", types: []string{"card", "link"}}
	var ok bool
	if i.amount, ok = c.integer("amount", 0); !ok {
		c.missing("amount")
	}
	i.currency = c.currency()
	i.capture = "automatic_async"
	if v := c.one("capture_method", "automatic", "automatic_async", "manual"); v != "" {
		i.capture = v
	}
	i.confirmation = "automatic"
	if v := c.one("confirmation_method", "automatic", "manual"); v != "" {
		i.confirmation = v
	}
	confirm := c.flag("confirm")
	auto := c.group("automatic_payment_methods")
	if auto.has("enabled") && !auto.flag("enabled") {
		i.automatic = false
	}
	if v := auto.one("allow_redirects", "always", "never"); v != "" {
		i.redirects = v
	}
	if c.has("payment_method_types") && auto.has("enabled") {
		c.fail(invalid("parameters_exclusive", "payment_method_types", "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."))
	}
	from := readSource(c)
	i.coin = readCoin(c)
	how := readIntent(c, i)
	i.onBehalf = c.str("on_behalf_of")
	transfer := c.group("transfer_data")
	i.destination = transfer.str("destination")
	if n, ok := transfer.integer("amount", 1); ok {
		i.transferred = n
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if i.coin != nil {
		if err := checkCoin(i, from, confirm); err != nil {
			return nil, err
		}
	} else if err := checkAmount(i.amount, i.currency); err != nil {
		return nil, err
	}
	if err := checkConnect(c, i); err != nil {
		return nil, err
	}
	if i.customer != "" {
		if _, ok := c.account.customers.get(i.customer); !ok {
			return nil, refused("resource_missing", "customer", "No such customer: '%.100s'", i.customer)
		}
	}
	i.id = s.newID("pi")
	i.secret = s.newID(i.id + "_secret")
	if i.coin != nil {
		return s.createCoin(c, i)
	}
	if err := s.attach(c, i, from, confirm); err != nil {
		return nil, err
	}
	if confirm {
		if err := s.mayConfirm(i, how); err != nil {
			return nil, err
		}
	}
	c.account.intents.add(i)
	s.emit(c.account, "payment_intent.created", i.render(), nil)
	if confirm {
		if err := s.charge(c, i, how); err != nil {
			return nil, err
		}
	}
	return i.render(), nil
}

func checkConnect(c *call, i *intent) error {
	switch {
	case i.fee == 0:
	case i.fee > i.amount:
		return invalid("", "application_fee_amount", "The application fee cannot be larger than the amount of the payment.")
	case c.account.id == platformAccount && i.destination == "":
		return invalid("", "application_fee_amount", "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment "+
			"(using an OAuth key or Stripe-Account header) or destination payment (using `transfer_data[destination]`).")
	}
	for param, id := range map[string]string{"transfer_data[destination]": i.destination, "on_behalf_of": i.onBehalf} {
		if id != "" && !accountForm.MatchString(id) {
			return refused("resource_missing", param, "No such destination: '%.100s'", id)
		}
	}
	return nil
}

// attach resolves what the intent is to be paid with. A token that is going to
// be charged at once must be usable, or no intent comes into being.
func (s *Server) attach(c *call, i *intent, from source, charged bool) error {
	switch {
	case from.token != "":
		if i.setup != "" {
			return invalid("", "setup_future_usage", "setup_future_usage cannot be used with a shared payment granted token.")
		}
		t, err := s.tokenFor(c.account, from.token)
		if err != nil {
			return err
		}
		if charged {
			if err := t.usable(i.amount, i.currency); err != nil {
				return err
			}
		}
		i.token, i.method = t, nil
	case from.method != "":
		m, err := s.methodFor(c, from.method)
		if err != nil {
			return err
		}
		i.method, i.token = m, nil
	default:
		return nil
	}
	i.status = statusConfirmation
	return nil
}

// mayConfirm holds an intent to what must be settled before anyone is charged.
func (s *Server) mayConfirm(i *intent, how terms) error {
	switch {
	case i.method == nil && i.token == nil:
		return unexpected(i, "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent "+
			"with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.")
	case i.automatic && i.redirects == "always" && how.returnURL == "":
		return invalid("", "return_url", "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "+
			"payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based "+
			"payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never`.")
	}
	return nil
}

// unexpected refuses what the status of an intent does not allow.
func unexpected(i *intent, message string) error {
	e := refused("payment_intent_unexpected_state", "", "%s", message)
	e.members = object{"payment_intent": i.render()}
	return e
}

// charge asks for the money: it succeeds, wants a person, or declines with an
// answer that has the intent inside.
func (s *Server) charge(c *call, i *intent, how terms) error {
	i.failure, i.next = nil, nil
	if i.token != nil {
		// The seller's own copy, as a token lends nothing else.
		i.method = s.clone(c.account, i.token.conduct, i.token.customer, c.now)
	}
	behave := i.method.conduct
	if behave.action && !how.off && !how.failOnAction {
		i.status = statusAction
		i.next = object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"type": "three_d_secure_redirect", "source": "sandbox"}}
		if how.returnURL != "" {
			i.next = object{"type": "redirect_to_url", "redirect_to_url": object{"url": "https://hooks.stripe.com/sandbox", "return_url": how.returnURL}}
		}
		s.emit(c.account, "payment_intent.requires_action", i.render(), nil)
		return nil
	}
	if behave.action {
		behave.code, behave.decline = "authentication_required", "authentication_required"
	}
	ch := s.newCharge(c, i, behave)
	i.latest = ch
	if behave.code != "" {
		return s.decline(c, i, ch, behave)
	}
	if i.token != nil {
		i.token.intent = i.id
		s.deactivate(i.token, reasonConsumed, c.now)
	}
	if i.capture == "manual" {
		i.status = statusCapture
		s.emit(c.account, "charge.succeeded", ch.render(), nil)
		s.emit(c.account, "payment_intent.amount_capturable_updated", i.render(), nil)
		return nil
	}
	i.status, i.received = statusSucceeded, i.amount
	s.captured(c.account, i, ch, i.amount, c.now)
	s.emit(c.account, "charge.succeeded", ch.render(), nil)
	s.emit(c.account, "payment_intent.succeeded", i.render(), nil)
	s.aftermath(c.account, ch, c.now)
	return nil
}

func (s *Server) intentFor(c *call) (*intent, error) {
	if i, ok := c.account.intents.get(c.id); ok {
		return i, nil
	}
	return nil, noSuch("payment_intent", "intent", c.id)
}

func (s *Server) retrieveIntent(c *call) (object, error) {
	c.ignore("client_secret")
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	return i.render(), nil
}

// open lists the statuses in which an intent may still change.
var open = []string{statusMethod, statusConfirmation, statusAction}

func (s *Server) updateIntent(c *call) (object, error) {
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	changed := *i
	changed.metadata = maps.Clone(i.metadata)
	if n, ok := c.integer("amount", 0); ok {
		changed.amount = n
	}
	if c.has("currency") {
		changed.currency = c.currency()
	}
	from := readSource(c)
	readIntent(c, &changed)
	if err := c.finish(); err != nil {
		return nil, err
	}
	if err := checkAmount(changed.amount, changed.currency); err != nil {
		return nil, err
	}
	priced := changed.amount != i.amount || changed.currency != i.currency || from.given
	if priced && !slices.Contains(open, i.status) {
		return nil, unexpected(i, "This PaymentIntent's amount or payment method could not be updated because it has a status of "+i.status+".")
	}
	if err := s.attach(c, &changed, from, false); err != nil {
		return nil, err
	}
	*i = changed
	return i.render(), nil
}

func (s *Server) confirmIntent(c *call) (object, error) {
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	changed := *i
	from := readSource(c)
	how := readIntent(c, &changed)
	if err := c.finish(); err != nil {
		return nil, err
	}
	if !slices.Contains(open, i.status) {
		return nil, unexpected(i, "You cannot confirm this PaymentIntent because it has already "+past(i.status)+".")
	}
	if err := s.attach(c, &changed, from, true); err != nil {
		return nil, err
	}
	if err := s.mayConfirm(&changed, how); err != nil {
		return nil, err
	}
	if changed.token != nil {
		if err := changed.token.usable(changed.amount, changed.currency); err != nil {
			return nil, err
		}
	}
	*i = changed
	if err := s.charge(c, i, how); err != nil {
		return nil, err
	}
	return i.render(), nil
}

func past(status string) string {
	if status == statusSucceeded {
		return "succeeded after being previously confirmed"
	}
	return "reached the status " + status
}

func (s *Server) cancelIntent(c *call) (object, error) {
	reason := c.one("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	if i.status == statusSucceeded || i.status == statusCanceled {
		return nil, unexpected(i, "You cannot cancel this PaymentIntent because it has a status of "+i.status+". Only a PaymentIntent with one of the "+
			"following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.")
	}
	if i.status == statusCapture {
		s.released(c.account, i.latest)
	}
	i.status, i.next, i.canceled, i.cancelBy = statusCanceled, nil, c.now, reason
	s.emit(c.account, "payment_intent.canceled", i.render(), nil)
	return i.render(), nil
}

func (s *Server) captureIntent(c *call) (object, error) {
	amount, given := c.integer("amount_to_capture", 1)
	c.ignore("final_capture", "metadata", "application_fee_amount", "statement_descriptor_suffix", "transfer_data")
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	if i.status != statusCapture {
		return nil, unexpected(i, "This PaymentIntent could not be captured because it has a status of "+i.status+
			". Only a PaymentIntent with one of the following statuses may be captured: requires_capture.")
	}
	if !given {
		amount = i.amount
	}
	if amount > i.amount {
		return nil, refused("amount_too_large", "amount_to_capture", "Could not capture %s: the amount must not be larger than %s.",
			display(amount, i.currency), display(i.amount, i.currency))
	}
	i.status, i.received = statusSucceeded, amount
	s.captured(c.account, i, i.latest, amount, c.now)
	s.emit(c.account, "charge.captured", i.latest.render(), nil)
	s.emit(c.account, "payment_intent.succeeded", i.render(), nil)
	s.aftermath(c.account, i.latest, c.now)
	return i.render(), nil
}

func (s *Server) listIntents(c *call) (object, error) {
	when, g, customer := c.created(), c.page(), c.str("customer")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.intents, g, "payment_intent", func(i *intent) bool {
		return when.covers(i.created) && (customer == "" || i.customer == customer)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/payment_intents", (*intent).render), nil
}

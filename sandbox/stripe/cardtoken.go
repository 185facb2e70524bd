package stripe

import (
	"slices"
	"strings"
	"time"
)

// A cardToken stands for a card once: whoever shows it to the seller has paid with it.
type cardToken struct {
	id      string
	created time.Time
	conduct conduct
	used    bool
}

func (t *cardToken) ident() string   { return t.id }
func (t *cardToken) born() time.Time { return t.created }

func (t *cardToken) render() object {
	return object{
		"id": t.id, "object": "token", "created": t.created.Unix(), "livemode": false, "type": "card", "used": t.used,
		"client_ip": nil, "card": t.conduct.card(),
	}
}

// createCardToken takes a test card by its number, or by the name of a test method.
func (s *Server) createCardToken(c *call) (object, error) {
	known, ok := conductOf("pm_card_visa")
	if at := c.find("card"); at != nil && at.leaf {
		known, ok = conductOf(c.str("card"))
	} else {
		card := c.group("card")
		number := strings.ReplaceAll(card.need("number"), " ", "")
		for _, name := range []string{"exp_month", "exp_year"} {
			if _, given := card.integer(name, 1); !given {
				card.missing(name)
			}
		}
		card.ignore("cvc", "name", "address_line1", "address_line2", "address_city", "address_state", "address_zip", "address_country", "currency")
		if number != "" {
			known, ok = byNumber(number)
		}
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, refused("incorrect_number", "card[number]", "Your card number is incorrect.")
	}
	t := &cardToken{id: s.newID("tok"), created: c.now, conduct: known}
	c.account.cards.add(t)
	return t.render(), nil
}

func (s *Server) retrieveCardToken(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	if t, ok := c.account.cards.get(c.id); ok {
		return t.render(), nil
	}
	return nil, noSuch("token", "token", c.id)
}

// spend makes the seller's method of a token, once.
func (s *Server) spend(a *account, t *cardToken, now time.Time) (*method, error) {
	if t.used {
		return nil, refused("token_already_used", "payment_method_data[card][token]", "You cannot use a Stripe token more than once: %s.", t.id)
	}
	t.used = true
	return s.clone(a, t.conduct, "", now), nil
}

// byNumber finds the test card with a number, by its last digits. Real numbers are
// not taken: the sandbox is no place for them.
func byNumber(number string) (conduct, bool) {
	if len(number) < 14 || len(number) > 19 || strings.Trim(number, "0123456789") != "" {
		return conduct{}, false
	}
	names := make([]string, 0, len(conducts))
	for name := range conducts {
		names = append(names, name)
	}
	slices.Sort(names) // two cards share digits: the same one is found each time
	for _, name := range names {
		if strings.HasSuffix(number, conducts[name].last4) {
			return conductOf("pm_card_" + name)
		}
	}
	return conduct{}, false
}

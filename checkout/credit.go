package checkout

import "paywall/payment"

// Credit returns the grant of an order that buys credit. Such an order is of credit
// alone and for one route: its payment is owed until the credit is used, and not tax but
// what is bought with it is due later.
func (p Priced) Credit() (Grant, bool) {
	var one Grant
	for _, l := range p.Lines {
		if len(l.Grants) != 1 || !l.Grants[0].Pass.Credit || one.Route != "" && l.Grants[0] != one {
			return Grant{}, false
		}
		one = l.Grants[0]
	}
	return one, one.Route != ""
}

// credit refuses orders that are of credit and of something else.
func (t *till) credit() error {
	if _, alone := t.out.Credit(); alone {
		return nil
	}
	for _, l := range t.out.Lines {
		for _, g := range l.Grants {
			if g.Pass.Credit {
				t.lacks("credit_alone", "$.line_items", "Credit is ordered by itself, and for one route at a time.")
				return nil
			}
		}
	}
	return nil
}

// isCredit reports whether a payment bought credit, which is opened before the payment
// counts as delivered.
func (s *Service) isCredit(paid payment.Payment) bool { return paid.Pack && s.cfg.OpenCredit != nil }

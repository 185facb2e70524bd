package stripe

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

const statusProcessing = "processing"

// Modes of a payment with stablecoins.
const (
	modeDeposit      = "deposit"                  // to an address of the intent's own
	modeVerification = "transaction_verification" // a transfer that has happened is recorded
)

// Hashes that a test deposit can have, and how long it takes.
const (
	hashSucceeds = "0x00000000000000000000000000000000000000000000000000000testsuccess"
	hashFails    = "0x000000000000000000000000000000000000000000000000000000testfailed"
	depositTakes = 15 * time.Second
)

var hashForm = regexp.MustCompile(`^0x[0-9a-fA-F]{64}$`)

// A coin is how an intent is paid with a stablecoin.
type coin struct {
	mode      string
	network   string            // of the payment, once it is known
	hash      string            // of its transaction
	buyer     string            // who sent it
	addresses map[string]string // by network, of modeDeposit
}

func (k *coin) details() object {
	return object{"type": "crypto", "crypto": object{
		"buyer_address": orNull(k.buyer), "network": orNull(k.network), "token_currency": "usdc", "transaction_hash": orNull(k.hash),
	}}
}

func (k *coin) nextAction() object {
	addresses := object{}
	for network, address := range k.addresses {
		addresses[network] = object{"address": address, "supported_tokens": tokensOn(network)}
	}
	return object{"type": "crypto_display_details", "crypto_display_details": object{"deposit_addresses": addresses}}
}

// readCoin reads payment_method_options[crypto], which only the call that creates
// an intent may have. It returns nil if there is none.
func readCoin(c *call) *coin {
	options := c.group("payment_method_options")
	if !options.has("crypto") {
		return nil
	}
	in := options.group("crypto")
	k := &coin{mode: in.one("mode", modeDeposit, modeVerification), addresses: make(map[string]string)}
	switch k.mode {
	case modeVerification:
		given := in.group("transaction_verification_options")
		k.network = coinNetwork(given, "network")
		k.hash = given.need("transaction_hash")
		if k.network == "" {
			given.missing("network")
		}
		if k.hash != "" && !hashForm.MatchString(k.hash) {
			c.fail(invalid("", given.name("transaction_hash"), "The transaction hash is not valid for the network."))
		}
		k.hash = strings.ToLower(k.hash)
	case modeDeposit:
		given := in.group("deposit_options")
		for _, network := range given.list("networks") {
			if !slices.Contains(chainNetworks, network) {
				c.fail(invalid("", given.name("networks"), "The network \"%.40s\" is not part of the sandbox; it has %s.", network, strings.Join(chainNetworks, ", ")))
			}
			k.addresses[network] = ""
		}
		if len(k.addresses) == 0 {
			given.missing("networks")
		}
	default:
		in.missing("mode")
	}
	return k
}

// checkCoin holds an intent for stablecoins to what is different about them.
func checkCoin(i *intent, from source, confirm bool) error {
	switch {
	case !slices.Equal(i.types, []string{"crypto"}):
		return invalid("", "payment_method_types", "Stablecoins need payment_method_types to be crypto alone.")
	case from.given:
		return invalid("parameters_exclusive", from.param, "A payment with stablecoins has no other payment method.")
	case i.currency != "usd":
		return invalid("", "currency", "Stablecoins are paid in usd.")
	case i.capture == "manual":
		return invalid("", "capture_method", "A payment with stablecoins cannot be captured later.")
	case !confirm:
		return invalid("", "confirm", "The sandbox wants a payment with stablecoins confirmed when it is created.")
	case i.amount < 1:
		return invalid("amount_too_small", "amount", "Amount must be at least %s.", display(1, i.currency))
	case i.amount > maxAmount:
		return invalid("amount_too_large", "amount", "Amount must be no more than %s.", display(maxAmount, i.currency))
	}
	return nil
}

// createCoin makes an intent that is paid with stablecoins.
func (s *Server) createCoin(c *call, i *intent) (object, error) {
	k := i.coin
	if k.mode == modeVerification {
		if err := s.verifyTransfer(c.account, i); err != nil {
			return nil, err
		}
		c.account.intents.add(i)
		s.emit(c.account, "payment_intent.created", i.render(), nil)
		s.paidInCoin(c.account, i, c.now)
		return i.render(), nil
	}
	for network := range k.addresses {
		k.addresses[network] = addressFor(i.id + network)
	}
	i.status, i.next = statusAction, k.nextAction()
	c.account.intents.add(i)
	s.emit(c.account, "payment_intent.created", i.render(), nil)
	s.emit(c.account, "payment_intent.requires_action", i.render(), nil)
	s.state.watched = append(s.state.watched, watchedIntent{c.account, i})
	return i.render(), nil
}

// verifyTransfer finds the transaction that an intent records: to an address of
// the seller's, recorded once, and all records together no more than was received.
// What the chain does not show yet it may show later, so that is not kept under
// the key.
func (s *Server) verifyTransfer(a *account, i *intent) error {
	const param = "payment_method_options[crypto][transaction_verification_options][transaction_hash]"
	k := i.coin
	income := s.income(a, k.network)
	at := slices.IndexFunc(income, func(t ChainTransfer) bool { return strings.EqualFold(t.Hash, k.hash) })
	if at < 0 {
		return invalid("", param, "The transaction could not be verified: there is no transfer to one of your deposit addresses in it.")
	}
	recorded := int64(0)
	for _, other := range a.intents.list {
		if other.coin == nil || other.coin.mode != modeVerification || other.coin.network != k.network {
			continue
		}
		if other.coin.hash == k.hash {
			return refused("", param, "The transaction has been recorded already, by %s.", other.id)
		}
		recorded += other.amount
	}
	if left := cents(income) - recorded; i.amount > left {
		return refused("", "amount", "The amount (%s) is more than was received and is not recorded yet (%s).", display(i.amount, i.currency), display(max(left, 0), i.currency))
	}
	k.buyer = income[at].From
	return nil
}

// paidInCoin completes an intent.
func (s *Server) paidInCoin(a *account, i *intent, now time.Time) {
	h := s.coinCharge(a, i, now)
	i.status, i.next, i.received = statusSucceeded, nil, i.amount
	s.captured(a, i, h, i.amount, now)
	s.emit(a, "charge.succeeded", h.render(), nil)
	s.emit(a, "payment_intent.succeeded", i.render(), nil)
}

func (s *Server) coinCharge(a *account, i *intent, now time.Time) *charge {
	i.method = s.clone(a, conduct{kind: "crypto"}, i.customer, now)
	h := &charge{id: s.newID("ch"), created: now, intent: i, method: i.method, amount: i.amount, status: statusSucceeded, coin: i.coin}
	a.charges.add(h)
	i.latest = h
	return h
}

// A watchedIntent waits for a deposit.
type watchedIntent struct {
	account *account
	intent  *intent
}

// watch completes the intents whose deposits have arrived. Only the exact amount
// can be told from other people's money.
func (s *Server) watch(now time.Time) {
	s.state.watched = slices.DeleteFunc(s.state.watched, func(w watchedIntent) bool {
		i := w.intent
		if i.status != statusAction {
			return true
		}
		want := new(big.Int).Mul(big.NewInt(i.amount), big.NewInt(perCent))
		for network, address := range i.coin.addresses {
			for _, t := range s.received(network, address) {
				if t.Units.Cmp(want) != 0 {
					continue
				}
				i.coin.network, i.coin.hash, i.coin.buyer = network, t.Hash, t.From
				s.processing(w.account, i)
				s.paidInCoin(w.account, i, now)
				return true
			}
		}
		return false
	})
}

func (s *Server) processing(a *account, i *intent) {
	i.status, i.next = statusProcessing, nil
	s.emit(a, "payment_intent.processing", i.render(), nil)
}

// simulateDeposit pretends that a deposit arrives.
func (s *Server) simulateDeposit(c *call) (object, error) {
	hash, network := c.need("transaction_hash"), c.one("network", coinNetworks...)
	c.one("token_currency", "usdc")
	buyer := c.str("buyer_wallet")
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.intentFor(c)
	if err != nil {
		return nil, err
	}
	if i.coin == nil || i.coin.mode != modeDeposit || i.status != statusAction {
		return nil, unexpected(i, "This PaymentIntent does not wait for a deposit of stablecoins.")
	}
	if _, ok := i.coin.addresses[network]; !ok {
		return nil, invalid("", "network", "The PaymentIntent has no deposit address on this network.")
	}
	if hash != hashSucceeds && hash != hashFails {
		return nil, invalid("", "transaction_hash", "The transaction hash is not a valid testmode transaction hash.")
	}
	account := c.account
	i.coin.network, i.coin.hash, i.coin.buyer = network, hash, buyer
	s.processing(account, i)
	s.later(c.now.Add(depositTakes), func(now time.Time) {
		if i.status != statusProcessing {
			return // cancelled meanwhile
		}
		if hash == hashSucceeds {
			s.paidInCoin(account, i, now)
			return
		}
		h := s.coinCharge(account, i, now)
		h.status, h.failure = statusFailed, &conduct{code: "payment_method_provider_decline", decline: "generic_decline"}
		i.status, i.method = statusMethod, nil
		i.failure = object{"type": "invalid_request_error", "code": h.failure.code, "charge": h.id, "message": "The transaction failed."}
		s.emit(account, "charge.failed", h.render(), nil)
		s.emit(account, "payment_intent.payment_failed", i.render(), nil)
	})
	return i.render(), nil
}

package stripe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const maxAmount = 99_999_999

// minimums are the smallest charges by currency, in its smallest unit.
var minimums = map[string]int64{
	"aed": 200, "ars": 50, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500, "dkk": 250,
	"eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50, "mxn": 1000,
	"myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300, "sgd": 50, "thb": 1000,
	"usd": 50, "zar": 50,
}

var (
	zeroDecimal  = strings.Fields("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
	threeDecimal = strings.Fields("bhd jod kwd omr tnd")
	// otherCurrencies have two decimals and no minimum of their own.
	otherCurrencies = strings.Fields("afn all amd ang aoa awg azn bam bbd bdt bmd bnd bob bsd bwp byn bzd cdf cny crc cve dop dzd " +
		"egp etb fjd fkp gel gip gmd gtq gyd hnl htg isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr " +
		"mwk mzn nad ngn nio npr pab pen pgk pkr qar rsd sar sbd scr shp sle sos srd std szl tjs top try ttd twd tzs uah ugx uyu uzs " +
		"wst xcd yer zmw")
)

func knownCurrency(c string) bool {
	_, ok := minimums[c]
	return ok || slices.Contains(zeroDecimal, c) || slices.Contains(threeDecimal, c) || slices.Contains(otherCurrencies, c)
}

// currency reads the currency of three letters, in either case.
func (p params) currency() string {
	const name = "currency"
	v := strings.ToLower(p.str(name))
	if v == "" {
		p.missing(name)
		return ""
	}
	if !knownCurrency(v) {
		p.fail(invalid("", p.name(name), "Invalid currency: %.10s. Stripe currently supports these currencies: %s", v, "usd, eur, gbp, …"))
		return ""
	}
	return v
}

// checkAmount holds an amount to the limits of a charge.
func checkAmount(amount int64, currency string) error {
	switch lowest := minimums[currency]; {
	case amount < max(lowest, 1):
		return invalid("amount_too_small", "amount", "Amount must be at least %s.", display(max(lowest, 1), currency))
	case amount > maxAmount:
		return invalid("amount_too_large", "amount", "Amount must be no more than %s.", display(maxAmount, currency))
	case slices.Contains(threeDecimal, currency) && amount%10 != 0:
		return invalid("parameter_invalid_integer", "amount", "The last digit of an amount in %s must be 0.", currency)
	}
	return nil
}

// display writes an amount as the processor does in its messages.
func display(amount int64, currency string) string {
	var number string
	switch {
	case slices.Contains(zeroDecimal, currency):
		number = thousands(amount)
	case slices.Contains(threeDecimal, currency):
		number = fmt.Sprintf("%s.%03d", thousands(amount/1000), amount%1000)
	default:
		number = fmt.Sprintf("%s.%02d", thousands(amount/100), amount%100)
	}
	switch currency {
	case "usd":
		return "$" + number
	case "eur":
		return "€" + number
	case "gbp":
		return "£" + number
	case "jpy":
		return "¥" + number
	}
	return number + " " + currency
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

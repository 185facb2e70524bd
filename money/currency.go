package money

import "strings"

// Exponent returns how many decimal places the minor unit of an ISO 4217
// currency has in card processing (ISK and UGX are sent with two places though
// they are not divided in practice), and whether the code is known here.
func Exponent(code string) (int, bool) {
	code = strings.ToUpper(code)
	if len(code) != 3 {
		return 0, false
	}
	switch {
	case strings.Contains(zeroDecimal, code):
		return 0, true
	case strings.Contains(threeDecimal, code):
		return 3, true
	case strings.Contains(twoDecimal, code):
		return 2, true
	}
	return 0, false
}

// Codes are separated by spaces, so that a three-letter code never matches
// across two neighbours.
const (
	zeroDecimal  = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
	threeDecimal = "BHD JOD KWD OMR TND"
	twoDecimal   = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF " +
		"CNY COP CRC CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK " +
		"JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR " +
		"NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB TJS TMT TOP TRY TTD TWD TZS " +
		"UAH UGX USD UYU UZS VES WST XCD YER ZAR ZMW"
)

package openapi

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// llms renders /llms.txt: what the API is, how it is paid, and what is there, in
// the words of the routes.
func (b *builder) llms() []byte {
	var buf bytes.Buffer
	info, _ := b.doc["info"].(object)
	title, _ := info["title"].(string)
	fmt.Fprintf(&buf, "# %s\n\n", line(title))
	if description, _ := info["description"].(string); line(description) != "" {
		first, _, _ := strings.Cut(strings.TrimSpace(description), "\n\n")
		fmt.Fprintf(&buf, "> %s\n\n", line(first))
	}
	fmt.Fprintf(&buf, "This API is at %s. Priced requests are paid one by one, without an account.\n\n", b.cfg.PublicURL)
	b.steps(&buf)
	buf.WriteString("503 with Retry-After means that a payment is still being settled: send the same credential again, do not pay again.\n\n## Endpoints\n\n")
	for _, r := range b.routes {
		method := r.Method
		if method == "" {
			method = "any method"
		}
		fmt.Fprintf(&buf, "- `%s %s`: ", method, line(r.Path))
		if r.Description != "" {
			fmt.Fprintf(&buf, "%s. ", strings.TrimSuffix(line(r.Description), "."))
		}
		buf.WriteString(r.priceText() + "\n")
	}
	fmt.Fprintf(&buf, "\n## More\n\n- [OpenAPI description](%[1]s/openapi.json)\n- [Keys of receipts](%[1]s/.well-known/jwks.json)\n", b.cfg.PublicURL)
	if b.cfg.Catalogue {
		fmt.Fprintf(&buf, "- [What x402 can buy](%s/discovery/resources)\n", b.cfg.PublicURL)
	}
	if b.cfg.Reference != "" {
		fmt.Fprintf(&buf, "- [Reference](%s)\n", b.cfg.Reference)
	}
	if b.cfg.Homepage != "" {
		fmt.Fprintf(&buf, "- [Home page](%s)\n", b.cfg.Homepage)
	}
	return buf.Bytes()
}

// steps say how to pay by the protocols that have an offer.
func (b *builder) steps(buf *bytes.Buffer) {
	scheme, x402 := false, false
	for _, r := range b.routes {
		for _, o := range r.Offers {
			scheme, x402 = scheme || o.X402 == nil, x402 || o.X402 != nil
		}
	}
	if scheme || !x402 {
		fmt.Fprintf(buf, `1. Send the request. An unpaid one is answered with 402 and one or more WWW-Authenticate headers of the Payment scheme.
2. Choose one, pay it, and send the same request again with Authorization: Payment and the credential.
3. The answer carries Payment-Receipt, and Paywall-Receipt, a signed JWT that anyone can verify with %s/.well-known/jwks.json.

`, b.cfg.PublicURL)
	}
	if x402 || b.cfg.Facilitator {
		where := "x-payment-info of " + b.cfg.PublicURL + "/openapi.json"
		if b.cfg.Facilitator {
			where += ", and those that other servers settle here, with a token, at " + b.cfg.PublicURL + "/x402/supported"
		}
		fmt.Fprintf(buf, "A client of x402 signs one of the entries in PAYMENT-REQUIRED of the 402 (or in its body, for version 1) and sends the same request again "+
			"with PAYMENT-SIGNATURE (or X-PAYMENT); the answer carries PAYMENT-RESPONSE and Paywall-Receipt. Networks and assets of each endpoint are in %s.\n\n", where)
	}
}

func (r Route) priceText() string {
	if r.Free {
		return "Free."
	}
	var ways []string
	for _, o := range r.Offers {
		way := "a price told per request"
		if o.Amount.Valid() {
			way = o.Amount.String()
			if o.Metered {
				way = "at most " + way
			}
		}
		ways = append(ways, way+" by "+o.way())
	}
	text := "Costs " + strings.Join(ways, " or ")
	if r.Credit != "" {
		text += ", " + line(r.Credit)
	}
	return text + "."
}

// line keeps text on one line, and plain.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

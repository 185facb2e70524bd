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
	fmt.Fprintf(&buf, `This API is at %[1]s. Priced requests are paid one by one, without an account.

1. Send the request. An unpaid one is answered with 402 and one or more WWW-Authenticate headers of the Payment scheme.
2. Choose one, pay it, and send the same request again with Authorization: Payment and the credential.
3. The answer carries Payment-Receipt, and Paywall-Receipt, a signed JWT that anyone can verify with %[1]s/.well-known/jwks.json.

503 with Retry-After means that a payment is still being settled: send the same credential again, do not pay again.

## Endpoints

`, b.cfg.PublicURL)
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
	if b.cfg.Reference != "" {
		fmt.Fprintf(&buf, "- [Reference](%s)\n", b.cfg.Reference)
	}
	if b.cfg.Homepage != "" {
		fmt.Fprintf(&buf, "- [Home page](%s)\n", b.cfg.Homepage)
	}
	return buf.Bytes()
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
		}
		ways = append(ways, way+" by "+o.Method)
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

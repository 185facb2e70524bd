package link

import "net/url"

// The contents of the pages, each from what its handler in page.go found.

func (d walletPage) show(p *paper) {
	switch len(d.Pending) {
	case 0:
		p.put(`<h1>Requests</h1>
<div class="card empty"><strong>Nothing waits for you</strong>When an agent wants to buy something, it appears here.</div>
`)
	case 1:
		p.put("<h1>One request waits for you</h1>\n")
	default:
		p.put("<h1>%s requests wait for you</h1>\n", len(d.Pending))
	}
	for _, c := range d.Pending {
		c.show(p)
	}
	p.put("<h2>Spending limits</h2>\n<div class=\"card meters\">\n")
	for _, m := range d.Meters {
		p.put(`  <p><span class="meter"><span>%s</span><span>%s of %s</span></span>`, m.Name, short(m.Used, "usd"), short(m.Limit, "usd"))
		p.put(`<meter aria-label="%s" min="0" max="100" value="%s">%s %%</meter></p>`+"\n", m.Name, m.Percent, m.Percent)
	}
	p.put("</div>\n")
	p.when(d.Auto != 0, `<p class="note">Purchases below %s go through without a click.</p>`+"\n", price(d.Auto, "usd"))
	if len(d.Recent) > 0 {
		p.put("<h2>Lately</h2>\n")
		rows(p, d.Recent)
		p.put(`<p class="note more"><a href="/wallet/purchases">All purchases</a></p>` + "\n")
	}
}

func showPurchases(p *paper, cards []card) {
	p.put("<h1>Purchases</h1>\n")
	if len(cards) == 0 {
		p.put(`<div class="card empty"><strong>No purchases yet</strong>Everything that agents asked for, and what became of it, is listed here.</div>` + "\n")
		return
	}
	rows(p, cards)
}

// rows are cards in short, as links.
func rows(p *paper, cards []card) {
	p.put(`<ul class="list">` + "\n")
	for _, c := range cards {
		p.put(`  <li><a class="row" id="row-%s" href="%s">`+"\n", c.ID, requestPath(c.ID, ""))
		p.put(`    <span class="pair"><bdi class="what">%s</bdi><span class="sum">%s</span></span>`+"\n", c.Merchant, price(c.Amount, c.Currency))
		p.put(`    <span class="pair">`)
		p.time("when", c.CreatedAt)
		p.put(`<span class="status %s">%s</span></span>`+"\n  </a></li>\n", c.Status, statusWords[c.Status])
	}
	p.put("</ul>\n")
}

func (c card) show(p *paper) {
	p.put(`<article class="card" aria-labelledby="amount-%s">
  <div class="headline">
    <div id="amount-%s" class="amount">%s</div>
    `, c.ID, c.ID, price(c.Amount, c.Currency))
	if c.Waiting && c.Left != "" {
		p.put(`<p class="left">Expires in %s</p>`, c.Left)
	} else {
		p.put(`<span class="status %s">%s</span>`, c.Status, statusWords[c.Status])
	}
	p.put("\n  </div>\n"+`  <p class="who">to <bdi>%s</bdi></p>`+"\n"+`  <p class="note">`, c.Merchant)
	switch {
	case c.NetworkID != "":
		p.put("the seller’s Stripe profile · ")
	case c.MerchantURL != "":
		p.put("<bdi>%s</bdi> · ", c.MerchantURL)
	}
	p.put("asked by <bdi>%s</bdi></p>\n  <h3>Why</h3>\n"+`  <p class="context`, c.Agent)
	p.when(!c.Full, " clamp")
	p.put(`" dir="auto">%s</p>`+"\n", c.Context)
	if len(c.LineItems) > 0 || len(c.Totals) > 0 {
		c.showLines(p)
	}
	if c.Waiting {
		p.put(`  <div class="actions">` + "\n")
		for _, b := range []struct{ action, class, words string }{{"approve", "yes", "Approve"}, {"deny", "no", "Deny"}} {
			p.form(requestPath(c.ID, "/"+b.action), c.Token, func() {
				p.put(`<button id="%s-%s" class="%s">%s<span class="hidden"> %s to %s</span></button>`,
					b.action, c.ID, b.class, b.words, price(c.Amount, c.Currency), c.Merchant)
			})
		}
		p.put("  </div>\n")
	}
	p.when(!c.Full, `  <p class="note more"><a id="more-%s" href="%s">All details</a></p>`+"\n", c.ID, requestPath(c.ID, ""))
	p.put("</article>\n")
}

// showLines has the items and sums as the agent told them.
func (c card) showLines(p *paper) {
	p.put(`<h3>What the agent says it buys</h3>
<table>
  <thead><tr><th scope="col">Item</th><th scope="col" class="number">Price</th></tr></thead>
  <tbody>
`)
	for _, item := range c.LineItems {
		p.put("  <tr>\n    <td><bdi>%s</bdi>", item.Name)
		p.when(item.Quantity != nil, "&nbsp;×&nbsp;%s", value(item.Quantity))
		p.when(item.Description != "", "<small><bdi>%s</bdi></small>", item.Description)
		p.when(item.SKU != "", "<small>SKU <bdi>%s</bdi></small>", item.SKU)
		cost := "–"
		if item.UnitAmount != nil {
			cost = short(orElse(value(item.Quantity), 1)*value(item.UnitAmount), c.Currency)
		}
		p.put("</td>\n"+`    <td class="number">%s</td>`+"\n  </tr>\n", cost)
	}
	for _, t := range c.Totals {
		class := "sum"
		if t.Type == "total" {
			class = "sum total"
		}
		p.put(`  <tr class="%s"><th scope="row"><bdi>%s</bdi></th><td class="number">%s</td></tr>`+"\n",
			class, orElse(t.DisplayText, t.Type), short(t.Amount, c.Currency))
	}
	p.put("  </tbody>\n</table>\n")
}

// showRequest is a card with everything that is known of it.
func showRequest(p *paper, c card) {
	heading := statusWords[c.Status]
	if c.Waiting {
		heading = "Approve this purchase?"
	}
	p.put("<h1>%s</h1>\n", heading)
	p.when(c.Status == RequiresAction,
		`<p class="problem">This card needs attention before it pays. The agent was told to start again with another one.</p>`+"\n")
	if c.Status == Failed {
		p.put(`<p class="problem">The seller’s charge was declined`)
		p.when(c.DeclineCode != "", ": <bdi>%s</bdi>", c.DeclineCode)
		p.put(".</p>\n")
	}
	c.show(p)
	p.put(`<div class="card">` + "\n  <dl>\n")
	p.put("    <dt>Pays with</dt><dd>%s</dd>\n    <dt>The agent gets</dt><dd>%s", c.PaymentMethod, c.grant())
	p.when(c.Test, " (test mode)")
	p.put("</dd>\n    <dt>Asked</dt><dd>")
	p.time("", c.CreatedAt)
	p.put("</dd>\n")
	if !c.ExpiresAt.IsZero() {
		ends := "Expires"
		if c.Revoke {
			ends = "Good until"
		}
		p.put("    <dt>%s</dt><dd>", ends)
		p.time("", c.ExpiresAt)
		p.when(c.Left != "", ", in %s", c.Left)
		p.put("</dd>\n")
	}
	p.when(c.DecidedBy != "", "    <dt>Decided by</dt><dd>%s</dd>\n", c.decider())
	p.when(c.Captured != 0, "    <dt>Seller took</dt><dd>%s</dd>\n", price(c.Captured, c.Currency))
	p.when(c.Transaction != "", "    <dt>Transaction</dt><dd>%s</dd>\n", c.Transaction)
	p.put("    <dt>Number</dt><dd>%s</dd>\n  </dl>\n", c.ID)
	if len(c.Reports) > 0 {
		p.put("  <h3>What the agent reported</h3>")
		p.list(c.Reports, "<li><bdi>%s</bdi></li>")
	}
	if c.Revoke {
		p.put(`  <div class="actions">`)
		p.form(requestPath(c.ID, "/cancel"), c.Token, func() {
			p.put(`<button id="cancel-%s" class="no">Take the approval back</button>`, c.ID)
		})
		p.put("</div>\n")
	}
	p.put("</div>\n" + `<p class="note more"><a href="/wallet">Back to requests</a></p>` + "\n")
}

func (c card) grant() string {
	switch c.CredentialType {
	case "card":
		return "a card number for this purchase"
	case "link_pay_token":
		return "a Link Pay Token"
	default:
		return "a token for at most " + price(c.Amount, c.Currency) + ", good once"
	}
}

func (c card) decider() string {
	switch c.DecidedBy {
	case "person":
		return "you"
	case "policy":
		return "the limit below which no click is needed"
	case "delegated":
		return "the app that filed it"
	default:
		return "sandbox control"
	}
}

func showStale(p *paper, c card) {
	p.put(`<h1>Look again</h1>
<p class="problem" role="alert">The request changed since you opened the page, so nothing was done. This is how it stands now.</p>
`)
	c.show(p)
	p.put(`<p class="note more"><a href="/wallet">To the wallet</a></p>` + "\n")
}

func showMessage(p *paper, title, text string) {
	p.put(`<h1>%s</h1>
<div class="card"><p class="context">%s</p></div>
<p class="note more"><a href="/wallet">To the wallet</a></p>
`, title, text)
}

func showAgents(p *paper, agents []agentRow) {
	p.put("<h1>Connected agents</h1>\n")
	for _, a := range agents {
		p.put(`<article class="card">`+"\n"+`  <p class="who"><bdi>%s</bdi></p>`+"\n"+`  <p class="note">since `, a.Label)
		p.time("", a.Since)
		p.put("</p>\n  <h3>May</h3>\n  ")
		p.list(a.Scopes, "<li>%s</li>")
		p.put("\n" + `  <div class="actions">`)
		p.form("/wallet/agents/"+url.PathEscape(a.ID)+"/disconnect", a.Token, func() {
			p.put(`<button class="no">Disconnect<span class="hidden"> %s</span></button>`, a.Label)
		})
		p.put("</div>\n</article>\n")
	}
	if len(agents) == 0 {
		p.put(`<div class="card empty"><strong>No agent is connected</strong>An agent that logs in shows you a code. Enter it below. Agents with the static sandbox token are not listed.</div>` + "\n")
	}
	p.put(`<p class="note more"><a href="/device">Enter a code</a></p>` + "\n")
}

func (d devicePage) show(p *paper) {
	if d.Token == "" {
		p.put("<h1>Connect an agent</h1>\n")
		p.when(d.Unknown, `<p class="problem" role="alert">No agent waits with that code. Codes are good for ten minutes and once.</p>`+"\n")
		p.put(`<form class="card" method="get" action="/device">
  <label for="user_code">The code that the agent shows</label>
  <input type="text" id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="20" required placeholder="XXXX-XXXX">
  <div class="actions"><button class="yes">Go on</button></div>
</form>
`)
		return
	}
	p.put(`<h1>Connect this agent?</h1>
<article class="card">
  <p class="who"><bdi>%s</bdi></p>
  <p class="note">wants to use this wallet. Its name is what it calls itself.</p>
  <h3>Code</h3>
  <p class="code">%s</p>
  <p class="note">Go on only if the agent shows you the same code.</p>
  <h3>It will be able to</h3>
  `, d.Label, d.UserCode)
	p.list(d.Scopes, "<li>%s</li>")
	p.put("\n" + `  <div class="actions">` + "\n")
	for _, b := range []struct{ class, decision, words string }{{"yes", "allow", "Connect"}, {"no", "deny", "Refuse"}} {
		p.form("/device", d.Token, func() {
			p.put(`<input type="hidden" name="user_code" value="%s">`, d.UserCode)
			p.put(`<button class="%s" name="decision" value="%s">%s</button>`, b.class, b.decision, b.words)
		})
	}
	p.put("  </div>\n</article>\n")
}

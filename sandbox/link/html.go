package link

import (
	_ "embed" // style and script of the pages
	"fmt"
	"html"
	"net/url"
	"strings"
	"time"
)

var (
	//go:embed web/style.css
	style string
	//go:embed web/script.js
	script string
)

// paper is HTML as it is written. The template package of the library looks
// methods up by name, and the linker then keeps those of every type of a program
// that has this package, megabytes of them; pages this small do without.
type paper struct{ strings.Builder }

// put writes markup, a constant of ours. What the format inserts is text: it is
// escaped so that it can stand between tags and in double quotes.
func (p *paper) put(format string, inserted ...any) {
	safe := make([]any, len(inserted))
	for i, v := range inserted {
		safe[i] = html.EscapeString(fmt.Sprint(v))
	}
	_, _ = fmt.Fprintf(p, format, safe...) // memory takes everything
}

// when is put, if there is something to say.
func (p *paper) when(ok bool, format string, inserted ...any) {
	if ok {
		p.put(format, inserted...)
	}
}

func (p *paper) time(class string, t time.Time) {
	p.when(class != "", `<time class="%s" datetime="%s">`, class, timestamp(t))
	p.when(class == "", `<time datetime="%s">`, timestamp(t))
	p.put("%s</time>", t.UTC().Format("2 Jan 2006, 15:04 UTC"))
}

// list writes items that an agent chose the words of.
func (p *paper) list(items []string, format string) {
	p.put(`<ul class="plain">`)
	for _, item := range items {
		p.put(format, item)
	}
	p.put("</ul>")
}

// form is one button that posts a token, and what else it has to say.
func (p *paper) form(action, token string, button func()) {
	p.put(`<form method="post" action="%s"><input type="hidden" name="token" value="%s">`, action, token)
	button()
	p.put("</form>\n")
}

func requestPath(id, below string) string { return "/wallet/requests/" + url.PathEscape(id) + below }

// page is what is around the contents of every page.
type page struct {
	Title   string
	Nav     string // which entry of the navigation is current
	Nonce   string
	Live    bool   // looks for news by itself
	Version string // changes when a live page has news
}

func (pg page) html(contents func(*paper)) string {
	p := &paper{}
	p.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s · Sandbox wallet</title>
`, pg.Title)
	p.when(pg.Live, `<noscript><meta http-equiv="refresh" content="6"></noscript>`+"\n")
	p.put(`<style nonce="%s">`+"\n", pg.Nonce)
	p.WriteString(style)
	p.put(`</style>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<p class="banner"><strong>Sandbox</strong> — no money moves</p>
<header class="top">
  <a class="brand" href="/wallet">Wallet</a>
  <nav aria-label="Wallet">
`)
	for _, entry := range []struct{ nav, path, words string }{
		{"wallet", "/wallet", "Requests"}, {"purchases", "/wallet/purchases", "Purchases"}, {"agents", "/wallet/agents", "Agents"},
	} {
		p.put(`    <a href="%s"`, entry.path)
		p.when(entry.nav == pg.Nav, ` aria-current="page"`)
		p.put(">%s</a>\n", entry.words)
	}
	p.put(`  </nav>
</header>
<main id="main" tabindex="-1" data-version="%s">
`, pg.Version)
	contents(p)
	p.put(`</main>
<p id="news" class="hidden" role="status"></p>
<footer>A stand-in of the Link wallet for trying things out. Tokens it hands out work at the sandbox processor only.</footer>
`)
	if pg.Live {
		p.put(`<script nonce="%s">`+"\n", pg.Nonce)
		p.WriteString(script)
		p.put("</script>\n")
	}
	p.put("</body>\n</html>\n")
	return p.String()
}

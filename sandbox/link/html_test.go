package link

import (
	"strings"
	"testing"
	"time"
)

// What is inserted is text in each place that pages have for it, whatever its type.
func TestPaper_Escapes(t *testing.T) {
	const evil = `"><script>alert('1')</script>&amp;%s%!`
	for name, write := range map[string]func(*paper){
		"text":      func(p *paper) { p.put("<b>%s</b>", evil) },
		"attribute": func(p *paper) { p.put(`<a id="%s">`, evil) },
		"a status":  func(p *paper) { p.put("<b>%s</b>", Status(evil)) },
		"an error":  func(p *paper) { p.put("<b>%s</b>", &refusal{message: evil}) },
		"a list":    func(p *paper) { p.list([]string{evil}, "<li>%s</li>") },
		"a form":    func(p *paper) { p.form(evil, evil, func() {}) },
		"a path":    func(p *paper) { p.put(`<a href="%s">`, requestPath(evil, "/approve")) },
		"a page":    func(p *paper) { p.WriteString(page{Title: evil, Version: evil}.html(func(*paper) {})) },
		"a class":   func(p *paper) { p.time(evil, time.Time{}) },
	} {
		var p paper
		write(&p)
		got := p.String()
		if strings.Contains(got, `"><script>alert`) || strings.Contains(got, "alert('1')") || strings.Contains(got, "MISSING") || strings.Contains(got, "EXTRA") {
			t.Errorf("%s: %s", name, got)
		}
	}
	var p paper
	p.put("<b>%s</b> %s", `<&"'>`, int64(7))
	if want := "<b>&lt;&amp;&#34;&#39;&gt;</b> 7"; p.String() != want {
		t.Errorf("%s, want %s", p.String(), want)
	}
}

package link

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const maxReports = 20 // kept of one request

// observation is what an agent reports of how a purchase went.
type observation struct {
	domain, outcome, step, words string
	tags                         []string
	at                           time.Time
}

// line is the report for a person, in one line.
func (o observation) line() string {
	parts := []string{o.outcome + " at " + o.domain}
	if len(o.tags) > 0 {
		parts = append(parts, strings.Join(o.tags, ", "))
	}
	for _, s := range []string{o.step, o.words} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return line(strings.Join(parts, "; "), 400)
}

var observationTags = []string{
	"stripe_checkout", "captcha", "anti_bot_script", "cdn_block", "waf_block", "dns_block", "rate_limited",
	"login_required", "3ds_challenge", "page_inaccessible", "timeout", "site_error", "payment_declined", "other",
}

func (w *Wallet) apiObserve(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	f, err := readFields(body)
	if err != nil {
		return err
	}
	now := w.now().UTC()
	o := observation{
		domain: f.text("domain", maxText), outcome: f.text("outcome", maxText), step: f.text("step", maxText),
		words: f.text("freeform_context", maxContext), at: now,
	}
	f.text("attempt_trace", 8000) // checked for its length, and of no use here
	if o.domain == "" {
		f.wrong("domain", "given")
	}
	oneOf(f, "outcome", true, "success", "blocked", "abandoned")
	if f.has("tags") {
		list, ok := f.m["tags"].([]any)
		if !ok || len(list) > len(observationTags) {
			f.wrong("tags", "a list of tags")
		}
		for _, v := range list {
			tag, ok := v.(string)
			if !ok || !slices.Contains(observationTags, tag) {
				f.wrong("tags", "a list of "+strings.Join(observationTags, ", "))
				break
			}
			o.tags = append(o.tags, tag)
		}
	}
	id := f.text("spend_request_id", maxText)
	if f.err != nil {
		return f.err
	}
	w.mu.Lock()
	sr := w.byID[id]
	if sr != nil && len(sr.reports) < maxReports {
		sr.reports = append(sr.reports, o)
	}
	w.mu.Unlock()
	if sr == nil {
		return notFound()
	}
	w.answer(rw, r, http.StatusOK, map[string]string{
		"object": "agent_observation", "created_at": timestamp(now), "domain": o.domain, "outcome": o.outcome,
		"spend_request_id": id, "status": "received",
	})
	return nil
}

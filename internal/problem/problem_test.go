package problem_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/internal/problem"
)

func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		doc  problem.Document
		want string
	}{
		{
			"every member, in order",
			problem.Document{
				Type: "urn:x", Title: "T", Status: 402, Detail: "d", Instance: "/payments/1",
				Extra: map[string]any{"price": "1.00 USD", "b": []int{1}},
			},
			`{"type":"urn:x","title":"T","status":402,"detail":"d","instance":"/payments/1","b":[1],"price":"1.00 USD"}`,
		},
		{"empty members have their defaults", problem.Document{Status: 404}, `{"type":"about:blank","title":"Not Found","status":404}`},
		{"success is no problem", problem.Document{Status: 200}, `{"type":"about:blank","title":"Internal Server Error","status":500}`},
		{
			"an extra member replaces none of the five",
			problem.Document{Status: 400, Extra: map[string]any{"status": 200, "detail": "x", "type": "y", "title": "z", "instance": "i"}},
			`{"type":"about:blank","title":"Bad Request","status":400}`,
		},
		{
			"a value without JSON form is left out alone",
			problem.Document{Status: 400, Extra: map[string]any{"bad": make(chan int), "good": true}},
			`{"type":"about:blank","title":"Bad Request","status":400,"good":true}`,
		},
		{
			"markup stays text",
			problem.Document{Status: 400, Detail: "</script><b>&\x00\xff"},
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"\u003c/script\u003e\u003cb\u003e\u0026\u0000\ufffd"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(tt.doc.JSON())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("ETag", `"of another body"`)
	problem.Document{Status: http.StatusConflict, Detail: "busy"}.Write(w)

	want := http.Header{
		"Content-Type":           {"application/problem+json"},
		"Content-Length":         {strconv.Itoa(w.Body.Len())},
		"Cache-Control":          {"no-store"},
		"X-Content-Type-Options": {"nosniff"},
	}
	if diff := cmp.Diff(want, w.Header()); diff != "" {
		t.Error(diff)
	}
	if w.Code != http.StatusConflict {
		t.Errorf("status %d", w.Code)
	}

	w = httptest.NewRecorder()
	w.Header().Set("Cache-Control", "private, no-store")
	problem.Document{Status: 204}.Write(w)
	if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("Cache-Control = %q, want what was set before", got)
	}
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d, want 500 for a problem that claims success", w.Code)
	}
}

// Whatever goes in, one JSON object comes out, and its five members are those
// of the document.
func TestJSON_AlwaysAnObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := problem.Document{
			Type: "urn:x", Title: "t",
			Status: rapid.IntRange(400, 599).Draw(t, "status"),
			Detail: rapid.String().Draw(t, "detail"),
			Extra: map[string]any{
				rapid.String().Draw(t, "name"): rapid.String().Draw(t, "value"),
			},
		}
		var got map[string]any
		if err := json.Unmarshal(d.JSON(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"type": "urn:x", "title": "t", "status": float64(d.Status)}
		if d.Detail != "" {
			want["detail"] = d.Detail
		}
		for k, v := range d.Extra {
			if _, fixed := want[k]; !fixed && k != "instance" && k != "detail" {
				want[k] = v
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

package gatetest

import (
	"net/http"
	"strconv"
	"testing"

	"paywall/internal/strictjson"
)

// documents looks at the body of a 402, to which a protocol may add members.
func documents(t *testing.T, s Subject) {
	t.Helper()
	for _, target := range []string{"/a", `/a?q=%22%7D,{`, `/a?x=%5C%22&y='<b>`, "/%E2%98%83", "/a%20b"} {
		h := newHouse(t, s)
		w := h.do("GET "+target, nil)
		if w.Code != http.StatusPaymentRequired || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: %d, %s bytes declared of %d", target, w.Code, w.Header().Get("Content-Length"), w.Body.Len())
		}
		if err := strictjson.Check(w.Body.Bytes(), strictjson.Limits{}); err != nil {
			t.Errorf("%s: %v: %s", target, err, w.Body)
		}
		head := h.do("HEAD "+target, nil)
		if head.Code != http.StatusPaymentRequired || head.Body.Len() != 0 || head.Header().Get("Content-Length") == "" {
			t.Errorf("HEAD %s: %d %v %s", target, head.Code, head.Header(), head.Body)
		}
		// A refusal has them, too.
		h.rail.Script("charge", declined())
		w = h.do("GET "+target, h.credential("GET "+target))
		h.refused(target, w)
		if err := strictjson.Check(w.Body.Bytes(), strictjson.Limits{}); err != nil {
			t.Errorf("%s, refused: %v: %s", target, err, w.Body)
		}
	}
}

package gate

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"paywall/internal/canonical"
)

// methodField is the name under which frameworks let a query or a form say
// which HTTP method is meant.
const methodField = "_method"

// namesMethod answers a request that names another HTTP method in its query or
// its form. It is asked for paths alone that have another price under another
// method, and reports whether it answered.
func (x *exchange) namesMethod() bool {
	params, err := canonical.Params(x.c.Query)
	if err != nil {
		x.reject(err)
		return true
	}
	named := has(params)
	if form := x.form(); !named && form != "" && x.r.ContentLength != 0 && x.r.Body != nil && x.r.Body != http.NoBody {
		if !x.buffer() {
			return true
		}
		named = formNames(form, x.body)
	}
	if named {
		x.problem(http.StatusBadRequest, "The request names another method than its own.")
	}
	return named
}

func has(params map[string][]string) bool {
	for name := range params {
		if strings.EqualFold(strings.TrimSpace(name), methodField) {
			return true
		}
	}
	return false
}

// form is the content type, if it is one of a form.
func (x *exchange) form() string {
	for _, line := range x.r.Header["Content-Type"] {
		if strings.Contains(strings.ToLower(line), "form") {
			return line
		}
	}
	return ""
}

// formNames reports whether a form has the field, or cannot be read.
func formNames(contentType string, body []byte) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return true
	case !strings.HasPrefix(kind, "multipart/"):
		for pair := range bytes.FieldsFuncSeq(body, func(r rune) bool { return r == '&' || r == ';' }) {
			name, _, _ := strings.Cut(string(pair), "=")
			if strings.EqualFold(strings.TrimSpace(strings.ReplaceAll(unescapeOnce(name), "+", " ")), methodField) {
				return true
			}
		}
		return false
	}
	// Readers of multipart disagree on almost everything: the name decides
	// wherever it stands in a part's head.
	if params["boundary"] == "" || bytes.Contains(bytes.ToLower(body), []byte(`"`+methodField+`"`)) {
		return true
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		if strings.EqualFold(part.FormName(), methodField) {
			return true
		}
	}
}

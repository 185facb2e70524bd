// Package problem writes problem documents (RFC 9457).
package problem

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// ContentType is the media type of a document.
const ContentType = "application/problem+json"

// Document says to a client what went wrong. All of it is shown, so nothing in
// it may be the text of an error that was not written for clients.
type Document struct {
	// Type is a URI; empty is "about:blank", which says no more than the status.
	Type string
	// Title is the same for every document of a type; empty is the phrase of the status.
	Title string
	// Status is 400 to 599; anything else is taken for 500, since a document
	// with a status of success would be read as the goods.
	Status int
	// Detail and Instance speak of this occurrence, and are left out when empty.
	Detail, Instance string
	// Extra are further members. The five above cannot be replaced by one, and
	// a value that has no JSON form is left out.
	Extra map[string]any
}

// JSON is the document as one object: the members of RFC 9457 first, the
// others sorted by name.
func (d Document) JSON() []byte {
	d = d.filled()
	var b bytes.Buffer
	b.WriteString(`{"type":`)
	b.Write(quote(d.Type))
	b.WriteString(`,"title":`)
	b.Write(quote(d.Title))
	b.WriteString(`,"status":`)
	b.WriteString(strconv.Itoa(d.Status))
	if d.Detail != "" {
		b.WriteString(`,"detail":`)
		b.Write(quote(d.Detail))
	}
	if d.Instance != "" {
		b.WriteString(`,"instance":`)
		b.Write(quote(d.Instance))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Extra)) {
		if reserved(name) {
			continue
		}
		v, err := json.Marshal(d.Extra[name])
		if err != nil {
			continue
		}
		b.WriteByte(',')
		b.Write(quote(name))
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Write answers with the document. A Cache-Control that was set before is kept;
// without one the answer is not to be stored. Fields that would describe
// another body are removed.
func (d Document) Write(w http.ResponseWriter) {
	d = d.filled()
	body := d.JSON()
	h := w.Header()
	for _, name := range []string{"Content-Encoding", "Content-Range", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(d.Status)
	_, _ = w.Write(body) // a client that left needs no answer
}

func (d Document) filled() Document {
	if d.Status < 400 || d.Status > 599 {
		d.Status = http.StatusInternalServerError
	}
	if d.Type == "" {
		d.Type = "about:blank"
	}
	if d.Title == "" {
		d.Title = http.StatusText(d.Status)
	}
	return d
}

func reserved(name string) bool {
	switch name {
	case "type", "title", "status", "detail", "instance":
		return true
	default:
		return false
	}
}

// quote leaves nothing that a browser could take for markup.
func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // never for a string
		return []byte(`""`)
	}
	return b
}

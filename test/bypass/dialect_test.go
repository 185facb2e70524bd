package bypass

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
)

// dialect is how an upstream reads a request.
type dialect struct {
	name string
	// read names the resource that it would serve, as "METHOD /path".
	read func(method, target string, h http.Header, body string) string
	// fold is what it does to the names of its own resources.
	fold func(path string) string
	once *sync.Once
	own  map[string]string
}

// owners are the priced resources as this dialect names them.
func (d *dialect) owners() map[string]string {
	d.once.Do(func() {
		for resource, route := range priced {
			method, p, _ := strings.Cut(resource, " ")
			d.own[method+" "+d.fold(p)] = route
		}
	})
	return d.own
}

func dialects() []dialect {
	return []dialect{
		{"strict", readStrict, func(p string) string { return p }, &sync.Once{}, map[string]string{}},
		{"web server", readLikeWebServer, tidyCase, &sync.Once{}, map[string]string{}},
		{"path parameters", readLikeFramework, func(p string) string { return path.Clean(p) }, &sync.Once{}, map[string]string{}},
	}
}

// plain is a HEAD as the GET whose head it asks for.
func plain(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

func targetPath(target string) string {
	if u, rest, ok := strings.Cut(target, "://"); ok && !strings.Contains(u, "/") {
		_, after, _ := strings.Cut(rest, "/")
		target = "/" + after
	}
	p, _, _ := strings.Cut(target, "?")
	return p
}

func readStrict(method, target string, _ http.Header, _ string) string {
	return plain(method) + " " + targetPath(target)
}

// readLikeWebServer decodes once, merges slashes, resolves dots, and has a file
// system that knows no letter case and sees no trailing dots, spaces and slashes.
func readLikeWebServer(method, target string, _ http.Header, _ string) string {
	return plain(strings.ToUpper(method)) + " " + tidyCase(decode(targetPath(target)))
}

func tidyCase(p string) string {
	segments := strings.Split(path.Clean("/"+p), "/")
	for i, s := range segments {
		if i > 0 && strings.Trim(s, ".") != "" {
			segments[i] = strings.TrimRight(s, ". ")
		}
	}
	return strings.ToLower(path.Clean(strings.Join(segments, "/")))
}

// readLikeFramework strips path parameters, decodes twice, takes a backslash for
// a slash, and lets headers, query and form say what is meant.
func readLikeFramework(method, target string, h http.Header, body string) string {
	for _, name := range []string{"X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Uri"} {
		if v := h.Get(name); v != "" {
			target = v
		}
	}
	method = strings.ToUpper(method)
	for _, name := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if v := h.Get(name); v != "" {
			method = strings.ToUpper(v)
		}
	}
	_, query, _ := strings.Cut(target, "?")
	if strings.Contains(h.Get("Content-Type"), "form-urlencoded") {
		query += "&" + body
	}
	if strings.Contains(h.Get("Content-Type"), "multipart") && strings.Contains(body, `name="_method"`) && strings.Contains(body, "DELETE") {
		query += "&_method=DELETE"
	}
	if values, _ := url.ParseQuery(query); values.Get("_method") != "" {
		method = strings.ToUpper(values.Get("_method"))
	}
	p := withoutParams(targetPath(target))
	for range 2 {
		p = withoutParams(strings.ReplaceAll(decode(p), `\`, "/"))
	}
	if i := strings.IndexAny(p, "?#\x00"); i >= 0 {
		p = p[:i]
	}
	return plain(method) + " " + path.Clean("/"+p)
}

func withoutParams(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// decode unescapes what can be, as lenient servers do, and leaves the rest.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Documents are the rendered descriptions of one configuration.
type Documents struct {
	// OpenAPI is /openapi.json, LLMs is /llms.txt.
	OpenAPI, LLMs []byte
}

// object is a JSON object on its way in or out.
type object = map[string]any

// builder collects the paths of one document.
type builder struct {
	cfg    Config
	host   string
	routes []compiled
	doc    object
	paths  object
	// shapes finds the path under which a shape is in the document already.
	shapes map[string]string
	ids    map[string]bool // operation ids in use
}

type compiled struct {
	Route

	template template
}

// Build renders the documents. Equal configurations give equal bytes.
func Build(cfg Config) (Documents, error) {
	host, err := cfg.check()
	if err != nil {
		return Documents{}, err
	}
	b := &builder{cfg: cfg, host: host, doc: object{"openapi": "3.1.0"}, paths: object{}, shapes: map[string]string{}, ids: map[string]bool{}}
	for _, r := range cfg.Routes {
		t, err := parseTemplate(r.Path)
		if err != nil {
			return Documents{}, fmt.Errorf("route %s: %w", r.Path, err)
		}
		b.routes = append(b.routes, compiled{Route: r, template: t})
	}
	if cfg.Upstream != nil {
		if err := b.takeUpstream(); err != nil {
			return Documents{}, err
		}
	}
	b.addRoutes()
	b.head()
	data, err := encode(b.doc)
	if err != nil {
		return Documents{}, err
	}
	return Documents{OpenAPI: data, LLMs: b.llms()}, nil
}

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("render description: %w", err)
	}
	return buf.Bytes(), nil
}

// head writes what stands before the paths.
func (b *builder) head() {
	info, _ := b.doc["info"].(object)
	if info == nil {
		info = object{}
	}
	set := func(name, value, fallback string) {
		if had, ok := info[name].(string); value == "" && ok && had != "" {
			return
		}
		if delete(info, name); value == "" {
			value = fallback
		}
		if value != "" {
			info[name] = value
		}
	}
	set("title", b.cfg.Title, b.host)
	set("version", b.cfg.Version, "1")
	set("description", b.cfg.Description, "")
	docs := object{"llms": b.cfg.PublicURL + "/llms.txt"}
	if b.cfg.Homepage != "" {
		docs["homepage"] = b.cfg.Homepage
	}
	if b.cfg.Reference != "" {
		docs["apiReference"] = b.cfg.Reference
	}
	service := object{"docs": docs}
	if len(b.cfg.Categories) > 0 {
		service["categories"] = b.cfg.Categories
	}
	b.doc["info"], b.doc["x-service-info"], b.doc["paths"] = info, service, b.paths
	// The document's own servers are the upstream's, which agents cannot and must not reach.
	b.doc["servers"] = []any{object{"url": b.cfg.PublicURL}}
}

// addRoutes describes the routes that the upstream's document did not.
func (b *builder) addRoutes() {
	for i, r := range b.routes {
		methods := []string{r.Method}
		if r.Method == "" {
			methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
		}
		for _, method := range methods {
			if b.shadowed(i, method) {
				continue
			}
			key := b.path(r.template)
			item, _ := b.paths[key].(object)
			if item == nil {
				item = object{}
				b.paths[key] = item
			}
			if item[methodKeys[method]] == nil {
				item[methodKeys[method]] = b.operation(method, key, r)
			}
		}
	}
}

// shadowed reports whether earlier routes take all requests of this one. Routes
// of the very same paths are described together instead.
func (b *builder) shadowed(i int, method string) bool {
	r := b.routes[i]
	return slices.ContainsFunc(b.routes[:i], func(e compiled) bool {
		return e.takes(method) && !e.template.like(r.template) && e.template.covers(r.template)
	})
}

func (c compiled) takes(method string) bool {
	return c.Method == "" || c.Method == method || (c.Method == http.MethodGet && method == http.MethodHead)
}

// path is where a template is in the document, or would be.
func (b *builder) path(t template) string {
	if key, ok := b.shapes[t.shape()]; ok {
		return key
	}
	b.shapes[t.shape()] = t.String()
	return t.String()
}

// operation describes a request of which only the route is known.
func (b *builder) operation(method, key string, r compiled) object {
	op := object{"responses": object{"200": object{"description": "The resource.", "content": object{"*/*": object{}}}}}
	if r.Description != "" {
		op["summary"] = r.Description
	}
	if id := b.operationID(method, key); id != "" {
		op["operationId"] = id
	}
	// The names are those of the path, which another route may have put there.
	if t, ok := parseDocumented(key); ok {
		var parameters []any
		for _, name := range t.names() {
			p := object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}}
			if r.template.open() && len(parameters) == len(t.names())-1 {
				p["description"] = "Any number of path segments."
			}
			parameters = append(parameters, p)
		}
		if len(parameters) > 0 {
			op["parameters"] = parameters
		}
	}
	if method == "POST" || method == "PUT" || method == "PATCH" {
		op["requestBody"] = object{"content": object{"application/json": object{"schema": object{"type": "object"}}}}
	}
	b.price(op, b.sharing(method, r.template))
	return op
}

// sharing returns the routes of one method and the very same paths: they differ
// in conditions that a description cannot express, headers for instance.
func (b *builder) sharing(method string, t template) []compiled {
	var rs []compiled
	for _, r := range b.routes {
		if r.takes(method) && r.template.like(t) {
			rs = append(rs, r)
		}
	}
	return rs
}

func (b *builder) operationID(method, key string) string {
	id := strings.ToLower(method) + strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		case r == '{' || r == '}':
			return -1
		default:
			return '_'
		}
	}, key)
	if b.ids[id] {
		return ""
	}
	b.ids[id] = true
	return id
}

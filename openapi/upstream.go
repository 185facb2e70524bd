package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
)

const maxUpstream = 8 << 20

// takeUpstream starts from the API's own document: operations that a route
// covers stay as they are and get their price, others go.
func (b *builder) takeUpstream() error {
	doc, err := parseUpstream(b.cfg.Upstream)
	if err != nil {
		return err
	}
	base, err := basePath(doc["servers"])
	if err != nil {
		return fmt.Errorf("upstream document: %w", err)
	}
	paths, _ := doc["paths"].(object)
	// In order, so that of two paths of one shape always the same one is kept.
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if item, ok := paths[name].(object); ok {
			b.takePath(name, item, base)
		}
	}
	scrubDocument(doc)
	b.doc = doc
	return nil
}

func parseUpstream(data []byte) (object, error) {
	if len(data) > maxUpstream {
		return nil, fmt.Errorf("upstream document: more than %d bytes: %w", maxUpstream, ErrConfig)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // numbers come out as they were written
	var doc object
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("upstream document: not a JSON object (%w): %w", err, ErrConfig)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("upstream document: more than one JSON value: %w", ErrConfig)
	}
	version, _ := doc["openapi"].(string)
	if !strings.HasPrefix(version, "3.0.") && !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("upstream document: want OpenAPI 3.0 or 3.1, got %q: %w", version, ErrConfig)
	}
	return doc, nil
}

// basePath is the path of the first of the servers: operations are relative to it.
func basePath(servers any) (string, error) {
	list, _ := servers.([]any)
	if len(list) == 0 {
		return "", nil
	}
	first, _ := list[0].(object)
	text, _ := first["url"].(string)
	if strings.Contains(text, "{") {
		return "", fmt.Errorf("the first server has variables: %w", ErrConfig)
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("the first server is no URL: %w", ErrConfig)
	}
	base := strings.TrimSuffix(u.EscapedPath(), "/")
	if base != "" && base[0] != '/' {
		base = "/" + base // relative to a document at the root
	}
	return base, nil
}

// elsewhere reports whether the path item or operation is at servers of its own
// under another path, where requests for it would not arrive by way of us.
func elsewhere(o object, base string) bool {
	own, listed := o["servers"]
	if !listed {
		return false
	}
	at, err := basePath(own)
	return err != nil || at != base
}

// takePath keeps of a path item what a route covers. A path item by reference
// cannot be looked into, and what cannot be matched is not shown.
func (b *builder) takePath(name string, item object, base string) {
	t, ok := parseDocumented(base + name)
	if !ok || elsewhere(item, base) {
		return
	}
	if _, dup := b.shapes[t.shape()]; dup {
		return
	}
	kept := object{}
	for method, key := range methodKeys {
		op, ok := item[key].(object)
		if !ok || method == "OPTIONS" || elsewhere(op, base) {
			continue // OPTIONS is answered in place of the upstream
		}
		i := slices.IndexFunc(b.routes, func(r compiled) bool { return r.takes(method) && r.template.covers(t) })
		if i < 0 {
			continue
		}
		scrubOperation(op)
		if id, ok := op["operationId"].(string); ok {
			b.ids[id] = true
		}
		if op["summary"] == nil && op["description"] == nil && b.routes[i].Description != "" {
			op["summary"] = b.routes[i].Description
		}
		b.price(op, b.sharing(method, b.routes[i].template))
		kept[key] = op
	}
	if len(kept) == 0 {
		return
	}
	for key, value := range item {
		if key == "summary" || key == "description" || key == "parameters" || strings.HasPrefix(key, "x-") {
			kept[key] = value
		}
	}
	b.shapes[t.shape()] = base + name
	b.paths[base+name] = kept
}

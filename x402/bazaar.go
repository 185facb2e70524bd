package x402

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"paywall/internal/strictjson"
	"paywall/payment"
)

// bazaar is the extension of directories: what a route takes and gives.
type bazaar struct {
	describe func(route string) (json.RawMessage, bool)
}

func (bazaar) ID() string { return ExtensionBazaar }

// Declare implements [Extension].
func (x bazaar) Declare(offers []payment.Offer, _ []PaymentRequirements) (Declaration, error) {
	object, ok := x.describe(offers[0].Quote.Route)
	if !ok {
		return Declaration{}, nil
	}
	return Declaration{Object: object, Spare: true}, nil
}

// BazaarRoute is a route as directories are told of it.
type BazaarRoute struct {
	// Method is one of GET, HEAD, DELETE, POST, PUT and PATCH.
	Method string
	// Template is the path with ":name" for segments that vary: "/users/:id".
	Template string
	// Query is the shape of the parameters behind "?", Path of those in the template.
	Query, Path Shape
	// Body is that of a request with one, and BodyType one of json (or empty),
	// form-data and text. Its Schema counts only beside an Example: a directory checks
	// one against the other.
	Body     Shape
	BodyType string
	// Output is what an answer is, such as "json"; empty says nothing. Example is one.
	Output  string
	Example json.RawMessage
}

// Shape is a JSON Schema, and a value of it. Both may be nil. A schema refers to
// nothing outside of itself: nobody shall be made to fetch it.
type Shape struct{ Schema, Example json.RawMessage }

// ErrBazaar means a route that cannot be described.
var ErrBazaar = errors.New("not a route for directories")

// maxShape bounds each schema and example in bytes: they travel in a header.
const maxShape = 1 << 10

var (
	paramName  = regexp.MustCompile(`^:[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
	plainText  = regexp.MustCompile(`^[A-Za-z0-9_~!$&'()+,;=@-]+(\.[A-Za-z0-9_~!$&'()+,;=@-]+)*$`)
	outputType = regexp.MustCompile(`^[a-z][a-z0-9/+.-]{0,63}$`)
)

// checkTemplate refuses paths that another reader may take for another one: dots that
// climb, escapes, empty segments, and what could be a URL. It reports whether there
// are parameters.
func checkTemplate(s string) (params bool, err error) {
	const maxTemplate = 512
	rest, ok := strings.CutPrefix(s, "/")
	if !ok || len(s) > maxTemplate {
		return false, fmt.Errorf("%w: the template is no path", ErrBazaar)
	}
	if rest == "" {
		return false, nil
	}
	var names []string
	for segment := range strings.SplitSeq(rest, "/") {
		switch {
		case paramName.MatchString(segment):
			if slices.Contains(names, segment) {
				return false, fmt.Errorf("%w: the template names a parameter twice", ErrBazaar)
			}
			names = append(names, segment)
		case !plainText.MatchString(segment):
			return false, fmt.Errorf("%w: the template has a segment that is neither plain nor a parameter", ErrBazaar)
		}
	}
	return names != nil, nil
}

// Declaration renders the declaration. Errors are [ErrBazaar].
func (r BazaarRoute) Declaration() (json.RawMessage, error) {
	params, err := checkTemplate(r.Template)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	input := object{"type": "http", "method": r.Method}
	properties := object{"type": object{"const": "http"}, "method": object{"enum": []string{r.Method}}}
	required := []string{"type", "method"}
	if r.hasBody() {
		kind := r.BodyType
		if kind == "" {
			kind = "json"
		}
		body, schema := r.Body.Example, r.Body.Schema
		if body == nil {
			body, schema = json.RawMessage(`{}`), nil
		}
		if schema == nil {
			schema = json.RawMessage(`{}`)
		}
		input["bodyType"], input["body"] = kind, body
		properties["bodyType"], properties["body"] = object{"enum": []string{kind}}, schema
		required = append(required, "bodyType", "body")
	}
	for name, s := range map[string]Shape{"queryParams": r.Query, "pathParams": r.Path} {
		if name == "pathParams" && params && s.Schema == nil {
			s.Schema = json.RawMessage(`{"type":"object"}`)
		}
		if s.Example != nil {
			input[name] = s.Example
		}
		if s.Schema == nil && s.Example != nil {
			s.Schema = json.RawMessage(`{"type":"object"}`)
		}
		if s.Schema != nil {
			properties[name] = s.Schema
		}
	}
	out := object{
		"info": r.info(input),
		"schema": object{
			"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": []string{"input"},
			"properties": object{"input": object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}},
		},
	}
	if params {
		out["routeTemplate"] = r.Template
	}
	return marshal(out)
}

type object = map[string]any

func (r *BazaarRoute) info(input object) object {
	info := object{"input": input}
	if r.Output != "" || r.Example != nil {
		output := object{"type": "json"}
		if r.Output != "" {
			output["type"] = r.Output
		}
		if r.Example != nil {
			output["example"] = r.Example
		}
		info["output"] = output
	}
	return info
}

func (r *BazaarRoute) hasBody() bool {
	return slices.Contains([]string{"POST", "PUT", "PATCH"}, r.Method)
}

func (r *BazaarRoute) check() error {
	switch {
	case !r.hasBody() && !slices.Contains([]string{"GET", "HEAD", "DELETE"}, r.Method):
		return fmt.Errorf("%w: no such method", ErrBazaar)
	case !r.hasBody() && (r.BodyType != "" || r.Body.Schema != nil || r.Body.Example != nil):
		return fmt.Errorf("%w: a body where there is none", ErrBazaar)
	case !slices.Contains([]string{"", "json", "form-data", "text"}, r.BodyType):
		return fmt.Errorf("%w: no such type of body", ErrBazaar)
	case r.Output != "" && !outputType.MatchString(r.Output):
		return fmt.Errorf("%w: no such type of output", ErrBazaar)
	}
	for _, s := range [...]json.RawMessage{r.Query.Schema, r.Path.Schema, r.Body.Schema} {
		if s == nil {
			continue
		}
		if err := checkSchema(s); err != nil {
			return err
		}
	}
	for _, s := range [...]json.RawMessage{r.Query.Example, r.Path.Example} {
		if s != nil && !isObject(s) {
			return fmt.Errorf("%w: parameters that are no object", ErrBazaar)
		}
	}
	for _, s := range [...]json.RawMessage{r.Query.Example, r.Path.Example, r.Body.Example, r.Example} {
		if s != nil && strictjson.Check(s, strictjson.Limits{Bytes: maxShape}) != nil {
			return fmt.Errorf("%w: an example is not JSON of at most 1 KiB", ErrBazaar)
		}
	}
	return nil
}

// checkSchema refuses a schema that points anywhere outside of itself.
func checkSchema(s json.RawMessage) error {
	if strictjson.Check(s, strictjson.Limits{Bytes: maxShape}) != nil || !isObject(s) {
		return fmt.Errorf("%w: a schema is not an object of at most 1 KiB", ErrBazaar)
	}
	v, ok := tree(s)
	if !ok || !selfContained(v) {
		return fmt.Errorf("%w: a schema refers to another document", ErrBazaar)
	}
	return nil
}

func selfContained(v any) bool {
	switch v := v.(type) {
	case object:
		for name, one := range v {
			switch name {
			case "$ref", "$id", "$dynamicRef", "$schema", "$recursiveRef", "$vocabulary":
				if s, ok := one.(string); !ok || !strings.HasPrefix(s, "#") {
					return false
				}
			}
			if !selfContained(one) {
				return false
			}
		}
	case []any:
		for _, one := range v {
			if !selfContained(one) {
				return false
			}
		}
	}
	return true
}

// Template writes a path in which "*" or "{name}" stand for one segment with ":name".
// ok is false for one that says more than that, or that directories would not take.
func Template(pattern string) (template string, ok bool) {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		inner, braced := strings.CutPrefix(s, "{")
		switch {
		case s == "*":
			segments[i] = ":var" + strconv.Itoa(i)
		case braced && strings.HasSuffix(inner, "}"):
			segments[i] = ":" + strings.TrimSuffix(inner, "}")
		case strings.ContainsAny(s, "*:{}"):
			return "", false
		}
	}
	template = strings.Join(segments, "/")
	_, err := checkTemplate(template)
	return template, err == nil
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	maxBytes = 1 << 20
	maxDepth = 16
)

// decoder fills tagged structs from YAML nodes. The tags of a field are
//
//	yaml     its key; ",one" lets a list be a single value
//	default  what it is when it is not given, as one would write it
//	else     the same in words, where it depends on other things
//	min max  bounds of a number, size or duration; zero is refused unless min is zero
//	caution  the value above which there is a warning
//	enum     the words allowed, separated by |
//	type     what the reference calls the type, if not by its Go type
//	doc      the meaning, for the reference
//	lines    "true" for text that may have several lines
type decoder struct {
	*report

	// most is how many bytes are read.
	most int
}

// parse reads the one document of data into v, a pointer to a struct.
func (d *decoder) parse(data []byte, v any) {
	if len(data) > d.most {
		d.fault("", "the file is larger than %s", size(d.most))
		return
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		d.fault("", "the file is not UTF-8 text")
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		d.syntax(err)
		return
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			d.syntax(err)
			return
		}
		d.fault("", "the file has several documents; remove the lines that are only ---")
		return
	}
	before := len(d.errs)
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	d.plain(root, 0)
	if len(d.errs) > before {
		return
	}
	if root.Kind != yaml.MappingNode {
		d.fault("", "this is not a configuration; it has keys such as listen: and routes:")
		return
	}
	d.value(root, "", reflect.ValueOf(v).Elem(), "")
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (d *decoder) syntax(err error) {
	p := Problem{File: d.file, Message: "the file is empty"}
	if !errors.Is(err, io.EOF) {
		p.Message = "what begins here is not YAML"
		if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
			p.Line, _ = strconv.Atoi(m[1]) // no digits, no line
			switch {
			case strings.HasPrefix(m[2], "did not find expected"):
				// Errors of the parser, unlike those of the scanner, count lines from 0.
				p.Line++
				p.Message += ": " + m[2]
			case !strings.ContainsAny(m[2], "`'\"\n"):
				// The library quotes values in other errors, and a value may be a secret.
				p.Message += ": " + m[2]
			}
		}
	}
	d.errs = append(d.errs, p)
}

// plain refuses what gives one text two readings or makes it grow.
func (d *decoder) plain(n *yaml.Node, depth int) {
	refuse := func(message string) {
		d.errs = append(d.errs, Problem{File: d.file, Line: n.Line, Message: message})
	}
	switch {
	case depth > maxDepth:
		refuse("this is nested too deeply")
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		refuse("anchors and aliases (& and *) are not read; write the value out, or in quotes if it is text")
		return
	case n.Tag == "!!merge":
		refuse("merge keys (<<) are not read; write the values out")
	case n.Style&yaml.TaggedStyle != 0:
		refuse("tags (!) are not read; write the value in quotes if it is text")
	}
	for _, c := range n.Content {
		d.plain(c, depth+1)
	}
}

func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.fault(path, "is empty; give it a value or leave it out")
		return
	}
	if s, ok := reflect.TypeAssert[scalar](v.Addr()); ok {
		if !d.isText(n, path) {
			return
		}
		if err := s.set(n.Value); err != nil {
			d.fault(path, "%v", err)
			return
		}
		d.bounds(path, v, tag)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if t := v.Type().Elem(); t.Kind() == reflect.Struct && n.Kind != yaml.MappingNode {
			d.notObject(n, path, t) // and stays nil, so that nothing in it is missed
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem(), tag)
	case reflect.Struct:
		d.object(n, path, v)
	case reflect.Map:
		d.table(n, path, v)
	case reflect.Slice:
		d.list(n, path, v, tag)
	case reflect.Bool:
		if d.isText(n, path) {
			if n.Style == 0 && (n.Value == "true" || n.Value == "false") {
				v.SetBool(n.Value == "true")
			} else {
				d.fault(path, "is true or false, without quotes")
			}
		}
	case reflect.String:
		if tag.Get("lines") == "true" && n.Kind == yaml.ScalarNode {
			n.Value = strings.TrimSpace(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(n.Value))
		}
		if d.isText(n, path) {
			v.SetString(n.Value)
			d.oneOf(path, n.Value, tag)
		}
	default:
		panic("config: a field of type " + v.Type().String())
	}
}

// isText refuses what is no scalar, and text that would not stay on its line.
func (d *decoder) isText(n *yaml.Node, path string) bool {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fault(path, "is one value, but here is a %s", kindName(n))
	case n.Value == "":
		d.fault(path, "is empty; give it a value or leave it out")
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		d.fault(path, "has a line break or another control character; write it on one line")
	default:
		return true
	}
	return false
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	default:
		return "single value"
	}
}

func (d *decoder) object(n *yaml.Node, path string, v reflect.Value) {
	setDefaults(v)
	if n.Kind != yaml.MappingNode {
		d.notObject(n, path, v.Type())
		return
	}
	d.entries(n, path, func(key, at string, value *yaml.Node) {
		field, ok := fieldOf(v.Type(), key)
		if ok {
			d.value(value, at, v.FieldByIndex(field.Index), field.Tag)
			return
		}
		known := keysOf(v.Type())
		if meant := nearest(key, known); meant != "" {
			d.fault(at, "is not a key here; was %s meant?", meant)
		} else {
			d.fault(at, "is not a key here; there are %s", strings.Join(known, ", "))
		}
	})
}

func (d *decoder) notObject(n *yaml.Node, path string, t reflect.Type) {
	d.fault(path, "is a mapping with the keys %s, but here is a %s", strings.Join(keysOf(t), ", "), kindName(n))
}

// entries calls each with every pair of a mapping, but not with a repeated key.
func (d *decoder) entries(n *yaml.Node, path string, each func(key, at string, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.errs = append(d.errs, Problem{File: d.file, Line: key.Line, Path: path, Message: "a key is one word, not a " + kindName(key)})
			continue
		}
		at := join(path, key.Value)
		if first := seen[key.Value]; first > 0 {
			d.errs = append(d.errs, Problem{File: d.file, Line: key.Line, Path: at, Message: fmt.Sprintf("is given twice, first in line %d; keep one", first)})
			continue
		}
		seen[key.Value] = key.Line
		d.lines[at] = key.Line
		each(key.Value, at, value)
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + clip(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func (d *decoder) table(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fault(path, "is a mapping of names to values, but here is a %s", kindName(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.entries(n, path, func(key, at string, value *yaml.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(value, at, item, "")
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	v.SetZero() // a list that is given replaces the default
	switch {
	case n.Kind != yaml.SequenceNode && strings.HasSuffix(tag.Get("yaml"), ",one"):
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(n, path, item, tag)
		v.Set(reflect.Append(v, item))
		return
	case n.Kind != yaml.SequenceNode:
		d.fault(path, "is a list, but here is a %s", kindName(n))
		return
	case len(n.Content) == 0:
		d.fault(path, "is an empty list; leave it out")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.lines[at] = c.Line
		d.value(c, at, v.Index(i), tag)
	}
}

func (d *decoder) bounds(path string, v reflect.Value, tag reflect.StructTag) {
	if !v.CanInt() {
		return
	}
	name := func(text string) (int64, string) {
		b := mustSet(v.Type(), text)
		return b.Int(), fmt.Sprint(b.Interface())
	}
	if text, ok := tag.Lookup("min"); ok {
		if least, said := name(text); v.Int() < least {
			d.fault(path, "%v is too little; the least is %s", v.Interface(), said)
			return
		}
	} else if v.Int() <= 0 {
		d.fault(path, "is more than zero; leave it out for the default")
		return
	}
	if text, ok := tag.Lookup("max"); ok {
		if most, said := name(text); v.Int() > most {
			d.fault(path, "%v is too much; the most is %s", v.Interface(), said)
			return
		}
	}
	if text, ok := tag.Lookup("caution"); ok {
		if safe, said := name(text); v.Int() > safe {
			d.warn(path, "%v is above %s, the most that is recommended", v.Interface(), said)
		}
	}
}

func (d *decoder) oneOf(path, text string, tag reflect.StructTag) {
	words := tag.Get("enum")
	if words == "" {
		return
	}
	for w := range strings.SplitSeq(words, "|") {
		if w == text {
			return
		}
	}
	d.fault(path, "%s is not one of %s", clip(text), strings.ReplaceAll(words, "|", ", "))
}

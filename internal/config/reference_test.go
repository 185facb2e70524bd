package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const referenceFile = "../../docs/configuration.md"

// TestReference writes the reference from the types and compares it with the
// file, or replaces the file with -update, as go generate does.
func TestReference(t *testing.T) {
	var b bytes.Buffer
	for _, part := range []struct{ before, file, after string }{
		{"", "testdata/intro.md", ""},
		{"```yaml\n", "testdata/example.yaml", "```\n"},
	} {
		text, err := os.ReadFile(part.file)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(part.before + string(text) + part.after)
	}
	section(t, &b, "", reflect.TypeFor[file]())
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(referenceFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is stale: run go generate ./internal/config", referenceFile)
	}
}

// section has a table of the single values of a mapping, then a section for each
// mapping in it.
func section(t *testing.T, b *bytes.Buffer, path string, typ reflect.Type) {
	t.Helper()
	title := "Top level"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(b, "\n## %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)
	header := b.Len()
	type inner struct {
		path string
		typ  reflect.Type
	}
	var below []inner
	for f := range typ.Fields() {
		key := keyOf(f)
		at := strings.TrimPrefix(path+"."+key, ".")
		elem, suffix := f.Type, ""
		switch elem.Kind() {
		case reflect.Pointer:
			elem = elem.Elem()
		case reflect.Slice:
			elem, suffix = elem.Elem(), "[]"
		case reflect.Map:
			elem, suffix = elem.Elem(), ".NAME"
		default:
		}
		if elem.Kind() == reflect.Struct && !isScalar(elem) {
			below = append(below, inner{at + suffix, elem})
			if f.Tag.Get("doc") == "" {
				continue
			}
		}
		row(t, b, at, key, f)
	}
	if b.Len() == header { // only mappings: their own sections say all
		b.Truncate(b.Len() - len(fmt.Sprintf("\n## %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)))
	}
	for _, in := range below {
		section(t, b, in.path, in.typ)
	}
}

func row(t *testing.T, b *bytes.Buffer, at, key string, f reflect.StructField) {
	t.Helper()
	doc := f.Tag.Get("doc")
	if doc == "" || !strings.HasSuffix(doc, ".") || strings.Contains(doc, "|") {
		t.Errorf("%s: doc %q is not a sentence for a table", at, doc)
	}
	fallback := "–"
	if text, ok := f.Tag.Lookup("default"); ok {
		fallback = "`" + text + "`"
	} else if text, ok := f.Tag.Lookup("else"); ok {
		fallback = text
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, typeName(t, at, f), fallback, strings.ReplaceAll(doc, "*", `\*`))
}

func typeName(t *testing.T, at string, f reflect.StructField) string {
	t.Helper()
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	name := f.Tag.Get("type")
	switch enum := f.Tag.Get("enum"); {
	case name != "":
	case enum != "":
		name = "`" + strings.ReplaceAll(enum, "|", "` or `") + "`"
	case isScalar(typ):
		name = reflect.New(typ).Interface().(scalar).kind()
	case typ.Kind() == reflect.Bool:
		name = "`true` or `false`"
	case typ.Kind() == reflect.String:
		name = "text"
	default:
		t.Errorf("%s: a %s needs a type tag", at, typ)
	}
	if least, ok := f.Tag.Lookup("min"); ok {
		name += ", at least " + least
	}
	if most, ok := f.Tag.Lookup("max"); ok {
		name += ", at most " + most
	}
	return name
}

// TestTags reads every default and bound, which would panic when it is met.
func TestTags(t *testing.T) {
	known := map[string]bool{"yaml": true, "default": true, "else": true, "min": true, "max": true, "caution": true, "enum": true, "type": true, "doc": true}
	seen := 0
	var visit func(at string, typ reflect.Type)
	visit = func(at string, typ reflect.Type) {
		switch {
		case typ.Kind() == reflect.Pointer, typ.Kind() == reflect.Slice, typ.Kind() == reflect.Map:
			visit(at, typ.Elem())
			return
		case typ.Kind() != reflect.Struct || isScalar(typ):
			return
		}
		keys := map[string]bool{}
		for f := range typ.Fields() {
			where := at + "." + keyOf(f)
			if keyOf(f) == "" || keys[keyOf(f)] {
				t.Errorf("%s: no key, or twice", where)
			}
			keys[keyOf(f)] = true
			for pair := range strings.SplitSeq(string(f.Tag), `" `) {
				if name, _, _ := strings.Cut(pair, ":"); !known[name] {
					t.Errorf("%s: tag %s is not one of ours", where, name)
				}
			}
			for _, tag := range []string{"default", "min", "max", "caution"} {
				if text, ok := f.Tag.Lookup(tag); ok && f.Type.Kind() != reflect.Slice {
					mustSet(f.Type, text)
					seen++
				}
			}
			visit(where, f.Type)
		}
	}
	visit("", reflect.TypeFor[file]())
	if seen < 60 {
		t.Errorf("only %d tags were read", seen)
	}
	v := reflect.New(reflect.TypeFor[file]()).Elem()
	setDefaults(v)
	if v.Interface().(file).Limits.Queue != 256 {
		t.Error("defaults are not set")
	}
}

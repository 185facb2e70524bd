package config

import (
	"reflect"
	"strings"
)

// keyOf is the key that a field is read from.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		keys = append(keys, keyOf(f))
	}
	return keys
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if keyOf(f) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// setDefaults fills a struct, and those in it, from the tags.
func setDefaults(v reflect.Value) {
	for f, field := range v.Fields() {
		text, ok := f.Tag.Lookup("default")
		switch {
		case ok && field.Kind() == reflect.Slice:
			field.SetZero()
			for word := range strings.SplitSeq(text, ", ") {
				field.Set(reflect.Append(field, mustSet(field.Type().Elem(), word)))
			}
		case ok:
			field.Set(mustSet(field.Type(), text))
		case field.Kind() == reflect.Struct && !isScalar(field.Type()):
			setDefaults(field)
		}
	}
}

func isScalar(t reflect.Type) bool { return reflect.PointerTo(t).Implements(reflect.TypeFor[scalar]()) }

// mustSet reads the text of a tag. A test visits every tag, so that none panics here.
func mustSet(t reflect.Type, text string) reflect.Value {
	v := reflect.New(t)
	switch s, ok := reflect.TypeAssert[scalar](v); {
	case ok:
		if err := s.set(text); err != nil {
			panic("config: tag of " + t.String() + ": " + err.Error())
		}
	case t.Kind() == reflect.Bool:
		v.Elem().SetBool(text == "true")
	default:
		v.Elem().SetString(text)
	}
	return v.Elem()
}

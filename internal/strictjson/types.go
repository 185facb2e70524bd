package strictjson

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// shape is what the members or elements of a container are decoded into.
type shape struct {
	elem   reflect.Type
	fields map[string]reflect.Type // nil if any name will do
	fixed  bool                    // an array of exactly length elements
	length int
}

func (s shape) member(name []byte) (reflect.Type, bool) {
	if s.fields == nil {
		return s.elem, true
	}
	t, ok := s.fields[string(name)]
	return t, ok
}

// role is how encoding/json treats a type.
type role uint8

const (
	plain   role = iota // by its kind
	free                // takes any value
	custom              // has UnmarshalJSON
	textual             // has UnmarshalText
)

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonNumber      = reflect.TypeFor[json.Number]()
)

// resolve follows pointers as encoding/json does.
func resolve(t reflect.Type) (base reflect.Type, r role, nullable bool) {
	for t != nil {
		switch p := reflect.PointerTo(t); {
		case p.Implements(unmarshaler):
			return t, custom, true
		case p.Implements(textUnmarshaler):
			return t, textual, nullable
		case t.Kind() == reflect.Pointer:
			t, nullable = t.Elem(), true
		case t.Kind() == reflect.Interface && t.NumMethod() == 0:
			return t, free, true
		default:
			return t, plain, nullable || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
		}
	}
	return nil, free, true
}

// container judges the beginning of an object or array.
func (t *target) container(object bool) (shape, error) {
	base := t.base
	switch t.role {
	case custom:
		return shape{}, nil
	case free:
		return shape{elem: base}, nil // a nil type and an interface go on as they are
	case textual:
		return shape{}, ErrType
	case plain:
	}
	switch base.Kind() {
	case reflect.Struct:
		fields, err := t.fields()
		if err != nil || !object {
			return shape{}, orType(err)
		}
		return shape{fields: fields}, nil
	case reflect.Map:
		// Keys that are parsed have several spellings, so that a duplicate would pass.
		if key := base.Key(); key.Kind() != reflect.String || reflect.PointerTo(key).Implements(textUnmarshaler) {
			return shape{}, fmt.Errorf("%w: a map's keys are not strings", ErrTarget)
		}
		if !object {
			return shape{}, ErrType
		}
		return shape{elem: base.Elem()}, nil
	case reflect.Slice:
		if object || base.Elem().Kind() == reflect.Uint8 { // bytes are in base64
			return shape{}, ErrType
		}
		return shape{elem: base.Elem()}, nil
	case reflect.Array:
		if object {
			return shape{}, ErrType
		}
		return shape{elem: base.Elem(), fixed: true, length: base.Len()}, nil
	default:
		return shape{}, mistake(base)
	}
}

func orType(err error) error {
	if err == nil {
		return ErrType
	}
	return err
}

// mistake tells a value of the wrong type from a type that no value has.
func mistake(base reflect.Type) error {
	switch base.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return fmt.Errorf("%w: a %s", ErrTarget, base.Kind())
	default:
		return ErrType
	}
}

// text judges a string, which is given with its quotes.
func (t *target) text(raw []byte) error {
	base := t.base
	switch {
	case t.role != plain:
		return nil
	case base == jsonNumber: // encoding/json takes numbers in quotes for it
		return ErrType
	case base.Kind() == reflect.String:
		return nil
	case base.Kind() == reflect.Slice && base.Elem().Kind() == reflect.Uint8:
		// The decoder of encoding/json overlooks line ends and surplus bits.
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return ErrSyntax
		}
		if b, err := base64.StdEncoding.DecodeString(s); err != nil || base64.StdEncoding.EncodeToString(b) != s {
			return ErrEncoding
		}
		return nil
	}
	return mistake(base)
}

// number judges a number that is one by the grammar.
func (t *target) number(n string) error {
	base, r := t.base, t.role
	switch {
	case base == nil || r == custom:
		return nil
	case r == textual:
		return ErrType
	case r == free:
		return exact(n)
	case base == jsonNumber:
		return nil
	}
	switch base.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n, 10, base.Bits())
		if err != nil || i > maxInteger || i < -maxInteger || n == "-0" {
			return ErrNumber
		}
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u, err := strconv.ParseUint(n, 10, base.Bits()); err != nil || u > maxInteger {
			return ErrNumber
		}
		return nil
	case reflect.Float32, reflect.Float64:
		if _, err := strconv.ParseFloat(n, base.Bits()); err != nil {
			return ErrNumber
		}
		return nil
	default:
		return mistake(base)
	}
}

// exact refuses what an interface would hold rounded: it gets a float64.
func exact(n string) error {
	if strings.ContainsAny(n, ".eE") {
		if _, err := strconv.ParseFloat(n, 64); err != nil {
			return ErrNumber
		}
		return nil
	}
	if i, err := strconv.ParseInt(n, 10, 64); err != nil || i > maxInteger || i < -maxInteger {
		return ErrNumber
	}
	return nil
}

// word judges null, true and false.
func (t *target) word(null bool) error {
	base := t.base
	switch {
	case null && t.nullable:
		return nil
	case null || t.role == textual: // encoding/json would leave the target as it is
		return ErrType
	case t.role != plain || base.Kind() == reflect.Bool:
		return nil
	}
	return mistake(base)
}

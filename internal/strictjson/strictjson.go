// Package strictjson reads JSON from outside in the one way that every reader
// would read it, or refuses it.
//
// Beyond RFC 8259 it refuses what implementations take differently: duplicate
// names, a byte order mark, text that is not UTF-8, halves of surrogate pairs,
// the character NUL, and anything after the value. [Decode] also refuses what
// encoding/json forgives: names that differ from a field in case, unknown names,
// null for what cannot be null, and numbers that do not fit exactly.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Limits bound what is read. A field that is zero or less has its default.
type Limits struct {
	// Bytes of the whole text; 64 KiB.
	Bytes int
	// Depth of nested objects and arrays; 16.
	Depth int
	// Members of one object; 64. Arrays are bounded by Bytes alone.
	Members int
	// String is the longest string, name or number, in bytes as written; 4 KiB.
	String int
}

func (l Limits) filled() Limits {
	fill := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	fill(&l.Bytes, 64<<10)
	fill(&l.Depth, 16)
	fill(&l.Members, 64)
	fill(&l.String, 4<<10)
	return l
}

// Reasons for a refusal; test with [errors.Is]. The errors that wrap them say
// where, and never quote the text.
var (
	ErrSyntax    = errors.New("not JSON")
	ErrTrailing  = errors.New("data after the JSON value")
	ErrEncoding  = errors.New("not plain UTF-8 text")
	ErrDuplicate = errors.New("duplicate member")
	ErrLimit     = errors.New("over a limit")
	ErrUnknown   = errors.New("unknown member")
	ErrType      = errors.New("value of the wrong type")
	ErrNumber    = errors.New("number out of range or not in plain digits")
	// ErrTarget is the caller's mistake: the Go value has a type that cannot be
	// filled strictly.
	ErrTarget = errors.New("no type to decode into")
)

// maxInteger is the largest integer that every reader holds exactly (RFC 8259, section 6).
const maxInteger = 1<<53 - 1

// Check refuses text that is not one JSON value within the limits, readable in
// one way only. It does not look at the size of numbers.
func Check(data []byte, l Limits) error { return scan(data, l.filled(), nil) }

// Decode checks the text and decodes it into what into, a pointer, points to. The
// target is replaced as a whole, and left alone if there is an error.
//
// Member names are those of encoding/json and match letter for letter. Integers
// are plain digits of at most 2^53-1 in size, whatever is wider goes into a
// string. Null is for pointers, maps, slices and interfaces. Types with an
// UnmarshalJSON of their own judge their value's contents themselves, which are
// checked by then. Not supported, as they have more than one spelling for a
// value: maps whose keys are not strings, and the option "string" of field tags.
func Decode(data []byte, into any, l Limits) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("%w: not a pointer", ErrTarget)
	}
	if err := scan(data, l.filled(), v.Type().Elem()); err != nil {
		return err
	}
	fresh := reflect.New(v.Type().Elem())
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(fresh.Interface()); err != nil {
		return &refusal{err}
	}
	v.Elem().Set(fresh.Elem())
	return nil
}

// refusal keeps the text of errors that quote their input, as those of
// encoding/json do, from being printed.
type refusal struct{ err error }

func (r *refusal) Error() string   { return "refused by its type: " + ErrType.Error() }
func (r *refusal) Unwrap() []error { return []error{ErrType, r.err} }

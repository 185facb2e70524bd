package strictjson

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// candidate is a field that could be meant by a name.
type candidate struct {
	t              reflect.Type
	tagged, others int // how many of the name at this depth have a tag, and have none
}

// fieldsOf goes through a struct and those embedded in it, level by level. As in
// encoding/json the shallowest field of a name counts, one with a tag before
// others of its depth, and none if it is still not the only one.
func fieldsOf(t reflect.Type) (map[string]reflect.Type, error) {
	fields := make(map[string]reflect.Type)
	decided := make(map[string]bool)
	visited := make(map[reflect.Type]bool)
	for level := []reflect.Type{t}; len(level) > 0; {
		found := make(map[string]candidate)
		var next []reflect.Type
		for _, t := range level {
			if visited[t] {
				continue
			}
			deeper, err := collect(t, found)
			if err != nil {
				return nil, err
			}
			next = append(next, deeper...)
		}
		for _, t := range level {
			visited[t] = true
		}
		for name, c := range found {
			if !decided[name] && (c.tagged == 1 || (c.tagged == 0 && c.others == 1)) {
				fields[name] = c.t
			}
		}
		for name := range found {
			decided[name] = true
		}
		level = next
	}
	return fields, nil
}

// collect adds the fields of one struct and returns the structs embedded in it.
func collect(t reflect.Type, found map[string]candidate) (embedded []reflect.Type, err error) {
	for f := range t.Fields() {
		base := f.Type
		if base.Name() == "" && base.Kind() == reflect.Pointer {
			base = base.Elem()
		}
		if !f.IsExported() && (!f.Anonymous || base.Kind() != reflect.Struct) {
			continue
		}
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if slices.Contains(strings.Split(options, ","), "string") {
			return nil, fmt.Errorf("%w: field %s has the option string", ErrTarget, f.Name)
		}
		if name == "" && f.Anonymous && base.Kind() == reflect.Struct {
			embedded = append(embedded, base)
			continue
		}
		tagged := name != ""
		if !tagged {
			name = f.Name
		}
		c := found[name]
		if tagged {
			if c.tagged++; c.tagged == 1 {
				c.t = f.Type
			}
		} else {
			if c.others++; c.tagged == 0 {
				c.t = f.Type
			}
		}
		found[name] = c
	}
	return embedded, nil
}

package strictjson

import (
	"reflect"
	"sync"
)

// A target is a type as encoding/json treats it, with pointers followed. It judges
// values before encoding/json sees the text. The target of no type takes everything,
// as an interface does.
type target struct {
	base     reflect.Type // nil if anything goes
	role     role
	nullable bool
	// fields of a struct, found when the first object is read into one.
	fields func() (map[string]reflect.Type, error)
}

// targets keeps what was found out about types, which does not change while the
// program runs: *target by [reflect.Type]. There are as many as the program has
// types that it decodes into; what is decoded adds none.
var targets sync.Map

func targetOf(t reflect.Type) *target {
	if t == nil {
		return &anything
	}
	if known, ok := targets.Load(t); ok {
		if r, ok := known.(*target); ok {
			return r
		}
	}
	r := &target{}
	r.base, r.role, r.nullable = resolve(t)
	r.fields = sync.OnceValues(func() (map[string]reflect.Type, error) { return fieldsOf(r.base) })
	targets.Store(t, r)
	return r
}

// anything is the target that has no type.
var anything = target{role: free, nullable: true}

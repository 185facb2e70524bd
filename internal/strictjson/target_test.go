package strictjson_test

import (
	"errors"
	"sync"
	"testing"

	"paywall/internal/strictjson"
)

type tree struct {
	Name     string           `json:"name"`
	Children []*tree          `json:"children,omitempty"`
	ByName   map[string]*tree `json:"byName,omitempty"`
}

type wrongOption struct {
	N int `json:"n,string"`
}

// What is kept about a type is the same whoever comes first, and does not depend on
// what was decoded into it.
func TestDecode_InParallel(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				var root tree
				err := strictjson.Decode([]byte(`{"name":"a","children":[{"name":"b"},null],"byName":{"x":{"name":"c"}}}`), &root, strictjson.Limits{})
				if err != nil || len(root.Children) != 2 || root.Children[0].Name != "b" || root.Children[1] != nil || root.ByName["x"].Name != "c" {
					t.Errorf("%+v, %v", root, err)
				}
				if err := strictjson.Decode([]byte(`{"children":[{"Name":"b"}]}`), &root, strictjson.Limits{}); !errors.Is(err, strictjson.ErrUnknown) {
					t.Errorf("another spelling: %v", err)
				}
				// A type that cannot be filled stays one, also behind a pointer.
				var w wrongOption
				if err := strictjson.Decode([]byte(`{"n":"1"}`), &w, strictjson.Limits{}); !errors.Is(err, strictjson.ErrTarget) {
					t.Errorf("option string: %v", err)
				}
				var p *wrongOption
				if err := strictjson.Decode([]byte(`{"n":"1"}`), &p, strictjson.Limits{}); !errors.Is(err, strictjson.ErrTarget) || p != nil {
					t.Errorf("option string behind a pointer: %v, %v", p, err)
				}
				if err := strictjson.Decode([]byte(`"1"`), &w, strictjson.Limits{}); !errors.Is(err, strictjson.ErrType) {
					t.Errorf("a string for a struct: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// What a type looks like is found out once: a text costs the same however often the
// type was met before, and little beyond what encoding/json takes.
func TestDecode_Allocations(t *testing.T) {
	data := []byte(`{"payload":"spt_1N4Zv32eZvKYlo2CPhVPkJlW","amount":100,"k":"key","s":"text"}`)
	if n := testing.AllocsPerRun(100, func() {
		var c credential
		if err := strictjson.Decode(data, &c, strictjson.Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

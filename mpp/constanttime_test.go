package mpp

import (
	"crypto/hmac"
	"crypto/sha256"
	"go/ast"
	"go/parser"
	"go/token"
	"hash"
	"slices"
	"strings"
	"testing"
	"time"
)

// counted is a MAC that tells what is asked of it.
type counted struct {
	hash.Hash

	steps *[]int
}

func (c counted) Write(b []byte) (int, error) {
	*c.steps = append(*c.steps, len(b))
	return c.Hash.Write(b) //nolint:wrapcheck // a hash does not fail
}

func (c counted) Sum(b []byte) []byte {
	*c.steps = append(*c.steps, -1)
	return c.Hash.Sum(b)
}

// However much of an id is right, and whichever key made it, the same is computed
// before the answer: nothing is left out for an id that is wrong early.
func TestA039_TheSameWork(t *testing.T) {
	keys := []Key{{ID: "a", Secret: []byte(strings.Repeat("a", 32))}, {ID: "b", Secret: []byte(strings.Repeat("b", 32))}, {ID: "c", Secret: []byte(strings.Repeat("c", 32))}}
	ring, err := NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	var steps []int
	for _, k := range keys {
		ring.byID[k.ID].pool.New = func() any {
			return &scratch{mac: counted{hmac.New(sha256.New, k.Secret), &steps}}
		}
	}
	c := Challenge{Realm: "api.example.com", Method: "stripe", Intent: "charge", Request: "e30", Expires: time.Unix(1_900_000_000, 0).UTC().Format(time.RFC3339)}
	work := func(id string) (bool, []int) {
		steps = nil
		one := c
		one.ID = id
		_, ok := ring.verify(&one)
		return ok, steps
	}
	good, err := ComputeID(keys[0].Secret, c)
	if err != nil {
		t.Fatal(err)
	}
	_, want := work(good)
	if len(want) < 2*len(keys) {
		t.Fatalf("%d steps for %d keys", len(want), len(keys))
	}
	for _, k := range keys {
		id, err := ComputeID(k.Secret, c)
		if err != nil {
			t.Fatal(err)
		}
		if ok, got := work(id); !ok || !slices.Equal(got, want) {
			t.Errorf("the id of key %s: %t, steps %v, want %v", k.ID, ok, got, want)
		}
	}
	flip := func(i int) string {
		b := []byte(good)
		b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A']
		return string(b)
	}
	for i := range good {
		if ok, got := work(flip(i)); ok || !slices.Equal(got, want) {
			t.Errorf("wrong from byte %d: %t, steps %v, want %v", i, ok, got, want)
		}
	}
	for _, id := range []string{strings.Repeat("A", len(good)), good[:len(good)-1], good + "A", ""} {
		if ok, got := work(id); ok || !slices.Equal(got, want) {
			t.Errorf("%q: %t, steps %v, want %v", id, ok, got, want)
		}
	}
}

// The two places that decide about an id compare it in constant time, and in no
// other way. How long an operator of the language takes depends on the bytes.
func TestA039_ComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "binding.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "VerifyID" && f.Name.Name != "verify" {
			continue
		}
		checked++
		equal := 0
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
					if pkg, ok := sel.X.(*ast.Ident); ok {
						switch pkg.Name + "." + sel.Sel.Name {
						case "hmac.Equal":
							equal++
						case "bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Equal":
							t.Errorf("%s compares with %s.%s", f.Name, pkg.Name, sel.Sel.Name)
						}
					}
				}
			case *ast.BinaryExpr:
				for _, side := range []ast.Expr{n.X, n.Y} {
					if (n.Op == token.EQL || n.Op == token.NEQ) && namesID(side) {
						t.Errorf("%s compares an id with %s", f.Name, n.Op)
					}
				}
			case *ast.BranchStmt:
				if n.Tok == token.BREAK {
					t.Errorf("%s leaves its loop early", f.Name)
				}
			}
			return true
		})
		if equal != 1 {
			t.Errorf("%s calls hmac.Equal %d times", f.Name, equal)
		}
	}
	if checked != 2 {
		t.Errorf("%d of the 2 functions are there", checked)
	}
}

func namesID(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && (id.Name == "ID" || id.Name == "want" || id.Name == "id") {
			found = true
		}
		return true
	})
	return found
}

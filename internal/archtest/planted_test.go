package archtest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestPlanted shows that each check sees what it is for and leaves the rest.
func TestPlanted(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		check            check
		want             string // part of the only finding; empty means none
	}{
		{"the core imports another house", "payment/x.go", `package payment; import "paywall/gate"`, importsOurs, "payment may not import paywall/gate; it may import money"},
		{"the core imports money", "payment/x.go", `package payment; import "paywall/money"`, importsOurs, ""},
		{"money imports even a shared package", "money/x.go", `package money; import "paywall/internal/strictjson"`, importsOurs, "it may import nothing of ours"},
		{"a renamed import", "mpp/x.go", `package mpp; import g "paywall/gate"`, importsOurs, "mpp may not import paywall/gate"},
		{"a blank import", "mpp/x.go", `package mpp; import _ "paywall/receipts"`, importsOurs, "mpp may not import paywall/receipts"},
		{"behind a build tag", "mpp/x.go", "//go:build plan9\n\npackage mpp\n\nimport \"paywall/x402\"", importsOurs, "mpp/x.go:5: mpp may not import paywall/x402"},
		{"a raw string path", "mpp/x.go", "package mpp; import `paywall/gate`", importsOurs, "mpp may not import paywall/gate"},
		{"wire may use what is shared", "mpp/x.go", `package mpp; import "paywall/internal/strictjson"`, importsOurs, ""},
		{"wire may not use the application", "gate/x.go", `package gate; import "paywall/internal/config"`, importsOurs, "gate may not import paywall/internal/config"},
		{"a folder below is covered", "sqlstore/migrations/x.go", `package migrations; import "paywall/mpp"`, importsOurs, "sqlstore/migrations may not import paywall/mpp"},
		{"a name that begins alike is not", "mppx/x.go", `package mppx; import "paywall/money"`, importsOurs, "mppx has no row in the import table"},
		{"a package nobody planned", "helpers/x.go", `package helpers`, importsOurs, "helpers has no row in the import table"},
		{"adapter over its gate", "gate/gingate/x.go", `package gingate; import "paywall/gate"`, importsOurs, ""},
		{"gate over its adapter", "gate/x.go", `package gate; import "paywall/gate/gingate"`, importsOurs, "gate may not import paywall/gate/gingate"},
		{"the application imports all", "internal/app/x.go", `package app; import ("paywall/gate"; "paywall/mpp")`, importsOurs, ""},
		{"a test inside the package keeps the table", "mpp/x_test.go", `package mpp; import "paywall/gate"`, importsOurs, "mpp may not import paywall/gate"},
		{"a test inside may use the suites", "sqlstore/x_test.go", `package sqlstore; import "paywall/payment/paymenttest"`, importsOurs, ""},
		{"a suite imports its contract", "receipts/receiptstest/x.go", `package receiptstest; import ("paywall/receipts"; "paywall/money")`, importsOurs, ""},
		{"a suite keeps the table of its contract", "receipts/receiptstest/x.go", `package receiptstest; import "paywall/mpp"`, importsOurs, "receipts/receiptstest may not import paywall/mpp"},
		{"the product may not use a suite", "sqlstore/x.go", `package sqlstore; import "paywall/payment/paymenttest"`, importsOurs, "sqlstore may not import paywall/payment/paymenttest"},
		{"a suite may use a test library", "payment/paymenttest/x.go", `package paymenttest; import "github.com/google/go-cmp/cmp"`, importsLibraries, ""},
		{"a test outside is free", "mpp/x_test.go", `package mpp_test; import "paywall/gate"`, importsOurs, ""},
		{"only tests are outside", "mpp/x.go", `package mpp_test; import "paywall/gate"`, importsOurs, "mpp may not import paywall/gate"},
		{"a rail does not know the stand-ins", "methods/stripe/x.go", `package stripe; import "paywall/sandbox/stripe"`, importsOurs, "methods/stripe may not import paywall/sandbox/stripe"},
		{"the stand-ins share no product code", "sandbox/link/x.go", `package link; import "paywall/mpp"`, importsOurs, "sandbox/link may not import paywall/mpp"},

		{"gin in the gate", "gate/x.go", `package gate; import "github.com/gin-gonic/gin"`, importsLibraries, "gate may not import github.com/gin-gonic/gin"},
		{"gin in a test of the gate", "gate/x_test.go", `package gate_test; import "github.com/gin-gonic/gin"`, importsLibraries, "gate may not import github.com/gin-gonic/gin"},
		{"gin below its path", "gate/x.go", `package gate; import "github.com/gin-gonic/gin/binding"`, importsLibraries, "gin-gonic/gin/binding"},
		{"gin in its adapter", "gate/gingate/x.go", `package gingate; import "github.com/gin-gonic/gin"`, importsLibraries, ""},
		{"stripe-go in the application", "internal/app/x.go", `package app; import "github.com/stripe/stripe-go/v82"`, importsLibraries, "internal/app may not import github.com/stripe/stripe-go/v82"},
		{"stripe-go in its rail", "methods/stripe/x.go", `package stripe; import "github.com/stripe/stripe-go/v82"`, importsLibraries, ""},
		{"stripe-go in another rail", "methods/stripes/x.go", `package stripes; import "github.com/stripe/stripe-go/v82"`, importsLibraries, "methods/stripes may not import"},
		{"a library in the core", "payment/x.go", `package payment; import "github.com/google/uuid"`, importsLibraries, "the core needs only the standard library"},
		{"a test library in a test of the core", "payment/x_test.go", `package payment; import "github.com/google/go-cmp/cmp"`, importsLibraries, ""},
		{"a test library in the product", "receipts/x.go", `package receipts; import "github.com/google/go-cmp/cmp"`, importsLibraries, "it may panic"},

		{"init", "gate/x.go", `package gate; func init() {}`, initFunctions, "gate/x.go:1: no init functions"},
		{"init in a test", "gate/x_test.go", `package gate; func init() {}`, initFunctions, "no init functions"},
		{"a method called init", "gate/x.go", `package gate; type g int; func (g) init() {}`, initFunctions, ""},

		{"a loose end", "gate/x.go", "package gate\n\n// TODO: later\n", looseEnds, "gate/x.go:3: a note to come back"},
		{"another word for it", "gate/x.go", "package gate\n\nvar x = 1 // FIXME(#3) later\n", looseEnds, "a note to come back"},
		{"with its number", "gate/x.go", "package gate\n\n// TODO(#12): when the store can\n", looseEnds, ""},
		{"one with a number, one without", "gate/x.go", "package gate\n\n/* TODO(#1): a\nTODO: b */\n", looseEnds, "a note to come back"},
		{"a word in a string", "gate/x.go", "package gate\n\nvar x = \"TODO\"\n", looseEnds, ""},

		{"a float type", "money/x.go", `package money; func f(x float64) {}`, floats, "no float64 where money is carried"},
		{"a float constant", "payment/x.go", `package payment; const x = 0.5`, floats, "no floating point constant 0.5"},
		{"a parsed float", "mpp/x.go", `package mpp; import "strconv"; var x, _ = strconv.ParseFloat("1", 64)`, floats, "no ParseFloat"},
		{"a float parsed and thrown away", "mpp/x.go", `package mpp; import "strconv"; func f() bool { _, err := strconv.ParseFloat("1", 64); return err == nil }`, floats, ""},
		{"a float parsed and kept", "mpp/x.go", `package mpp; import "strconv"; func f() bool { x, _ := strconv.ParseFloat("1", 64); return x > 1 }`, floats, "no ParseFloat"},
		{"a big float", "pricing/flat/x.go", `package flat; import "math/big"; var x big.Float`, floats, "no big.Float"},
		{"a float in a test of money", "money/x_test.go", `package money; const x = 0.29 * 100`, floats, ""},
		{"a float elsewhere", "internal/telemetry/x.go", `package telemetry; var x float64`, floats, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sources, err := parse(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, s := range sources {
				found = append(found, tt.check(s)...)
			}
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("found %q, want nothing", found)
			case tt.want != "" && (len(found) != 1 || !strings.Contains(found[0], tt.want)):
				t.Errorf("found %q, want one with %q", found, tt.want)
			}
		})
	}
}

// TestWalk shows which files are read at all.
func TestWalk(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("package x")}
	sources, err := parse(fstest.MapFS{
		"a/x.go":                file,
		"a/x_test.go":           file,
		"a/b/c/x.go":            file,
		"a/testdata/x.go":       file,
		"a/node_modules/p/x.go": file,
		"a/.hidden/x.go":        file,
		"a/_old/x.go":           file,
		"tools/go.mod":          {Data: []byte("module tools")},
		"tools/x.go":            file,
		"a/readme.md":           {Data: []byte("no source")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		names = append(names, s.name)
	}
	if want := []string{"a/b/c/x.go", "a/x.go", "a/x_test.go"}; !slices.Equal(names, want) {
		t.Errorf("read %q, want %q", names, want)
	}
	if _, err := parse(fstest.MapFS{"a/x.go": {Data: []byte("not Go")}}); err == nil {
		t.Error("a file that does not parse was passed over")
	}
}

// TestTable keeps the table itself honest.
func TestTable(t *testing.T) {
	for i, r := range house {
		for _, earlier := range house[:i] {
			if covers(earlier.folder, strings.TrimSuffix(r.folder, "/...")) {
				t.Errorf("the row of %s is never reached: %s covers it", r.folder, earlier.folder)
			}
		}
		for _, m := range r.may {
			if m != anything && m != core && ruleOf(strings.TrimSuffix(m, "/...")) == nil {
				t.Errorf("the row of %s names %s, which has no row", r.folder, m)
			}
		}
	}
}

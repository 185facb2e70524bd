package archtest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHouse walks the whole tree: a violation fails where it stands.
func TestHouse(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := parse(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	var itself bool
	for _, s := range sources {
		itself = itself || s.name == "internal/archtest/archtest_test.go"
	}
	if !itself {
		t.Fatalf("walked %s, found %d files but not this one", root, len(sources))
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, s := range sources {
				for _, finding := range c.run(s) {
					t.Error(finding)
				}
			}
		})
	}
}

var checks = []struct {
	name string
	run  check
}{
	{"imports of ours", importsOurs},
	{"libraries in their folders", importsLibraries},
	{"no init", initFunctions},
	{"no loose ends", looseEnds},
	{"no floats", floats},
}

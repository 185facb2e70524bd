package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// A source is one parsed Go file of the module.
type source struct {
	name string // path from the root, with slashes
	fset *token.FileSet
	file *ast.File
}

// folder is where the file lies, as the rules name it.
func (s source) folder() string { return path.Dir(s.name) }

// test reports whether the file is compiled only into tests.
func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// testing reports whether the file is for tests only: a test, or part of a suite.
func (s source) testing() bool { return s.test() || suiteOf(s.folder()) != "" }

// suiteOf returns the folder of the contract whose suites lie in this folder, as
// in payment for payment/paymenttest, or nothing.
func suiteOf(folder string) string {
	parent := path.Dir(folder)
	if parent != "." && path.Base(folder) == path.Base(parent)+"test" {
		return parent
	}
	return ""
}

// blackBox reports whether the file belongs to the external test package of its
// folder, which no other package can depend on.
func (s source) blackBox() bool {
	return s.test() && strings.HasSuffix(s.file.Name.Name, "_test")
}

// at formats a finding so that an editor can jump to it.
func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.name, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// parse reads every Go file of the module under root, files behind build tags
// included. Folders that the go command ignores, and other modules, are left out.
func parse(root fs.FS) ([]source, error) {
	fset := token.NewFileSet()
	var all []source
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{name: name, fset: fset, file: f})
		return nil
	})
	return all, err
}

func skip(root fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || base == "node_modules" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// covers reports whether a rule's folder pattern includes the folder.
func covers(pattern, folder string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return folder == base || strings.HasPrefix(folder, base+"/")
	}
	return folder == pattern
}

func coveredBy(patterns []string, folder string) bool {
	for _, p := range patterns {
		if covers(p, folder) {
			return true
		}
	}
	return false
}

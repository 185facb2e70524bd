package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A check returns its findings in one file, one line each.
type check func(s source) []string

// importsOurs applies the import table. External test packages are free: nobody
// can import them, and a black-box test may bring the parts together.
func importsOurs(s source) []string {
	contract := suiteOf(s.folder())
	rule := ruleOf(s.folder())
	if contract != "" {
		rule = ruleOf(contract)
	}
	if rule == nil {
		return []string{s.at(s.file.Package, "%s has no row in the import table: add it to house in internal/archtest/rules.go", s.folder())}
	}
	var found []string
	for _, imp := range s.file.Imports {
		target, ours := strings.CutPrefix(importPath(imp), module+"/")
		if !ours || target == s.folder() || target == contract || s.blackBox() {
			continue
		}
		if s.testing() && suiteOf(target) != "" || allows(rule, target) {
			continue
		}
		found = append(found, s.at(imp.Pos(), "%s may not import %s/%s; it may import %s", s.folder(), module, target, list(rule)))
	}
	return found
}

func ruleOf(folder string) *houseRule {
	for i := range house {
		if covers(house[i].folder, folder) {
			return &house[i]
		}
	}
	return nil
}

func allows(rule *houseRule, target string) bool {
	if slices.Contains(rule.may, anything) || coveredBy(rule.may, target) {
		return true
	}
	return !slices.Contains(rule.may, core) && slices.Contains(shared, target)
}

func list(rule *houseRule) string {
	var may []string
	for _, m := range rule.may {
		if m != core {
			may = append(may, m)
		}
	}
	if !slices.Contains(rule.may, core) {
		may = append(may, shared...)
	}
	if len(may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(may, ", ")
}

// importsLibraries keeps each library in its folders, and the core to the
// standard library.
func importsLibraries(s source) []string {
	var found []string
	for _, imp := range s.file.Imports {
		p := importPath(imp)
		for _, l := range libraries {
			below := p == l.prefix || strings.HasPrefix(p, l.prefix+"/")
			if !below || coveredBy(l.may, s.folder()) || l.tests && s.testing() {
				continue
			}
			found = append(found, s.at(imp.Pos(), "%s may not import %s, which stays in %s: %s", s.folder(), p, strings.Join(l.may, ", "), l.why))
		}
		if rule := ruleOf(s.folder()); rule != nil && slices.Contains(rule.may, core) && !s.testing() && external(p) {
			found = append(found, s.at(imp.Pos(), "%s may not import %s: the core needs only the standard library", s.folder(), p))
		}
	}
	return found
}

// external reports whether the path names another module: only those have a
// dot in their first element.
func external(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return strings.Contains(first, ".")
}

func importPath(imp *ast.ImportSpec) string {
	p, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		return imp.Path.Value // the parser has accepted it, so this cannot be a path of ours
	}
	return p
}

// initFunctions finds init: what a program does is written in main.
func initFunctions(s source) []string {
	var found []string
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			found = append(found, s.at(f.Pos(), "no init functions: let the caller construct it"))
		}
	}
	return found
}

var (
	todo     = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	numbered = regexp.MustCompile(`\bTODO\(#[1-9][0-9]*\)`)
)

// looseEnds finds notes to come back that no issue remembers.
func looseEnds(s source) []string {
	var found []string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if len(todo.FindAllString(c.Text, -1)) > len(numbered.FindAllString(c.Text, -1)) {
				found = append(found, s.at(c.Pos(), "a note to come back has an issue number, as in TODO(#12)"))
			}
		}
	}
	return found
}

// floats finds floating point in what the money folders ship. Tests may use it,
// to show that it is refused. A number may be parsed as one if it is thrown away:
// canonical JSON (RFC 8785) asks whether that can be done.
func floats(s source) []string {
	if s.test() || !coveredBy(moneyFolders, s.folder()) {
		return nil
	}
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if first, ok := n.Lhs[0].(*ast.Ident); ok && first.Name == "_" && len(n.Rhs) == 1 && calls(n.Rhs[0], "ParseFloat") {
				return false
			}
		case *ast.Ident:
			if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
				found = append(found, s.at(n.Pos(), "no %s where money is carried", n.Name))
			}
		case *ast.SelectorExpr:
			if slices.Contains([]string{"ParseFloat", "FormatFloat", "AppendFloat"}, n.Sel.Name) {
				found = append(found, s.at(n.Pos(), "no %s where money is carried", n.Sel.Name))
			}
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "big" && n.Sel.Name == "Float" {
				found = append(found, s.at(n.Pos(), "no big.Float where money is carried"))
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT {
				found = append(found, s.at(n.Pos(), "no floating point constant %s where money is carried", n.Value))
			}
		}
		return true
	})
	return found
}

// calls reports whether the expression is a call of a function of that name in
// some package.
func calls(x ast.Expr, name string) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && f.Sel.Name == name
}

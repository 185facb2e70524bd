package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, or worth a warning, in a configuration.
type Problem struct {
	// File is the path that was loaded, or empty.
	File string
	// Line counts from 1; zero is the file as a whole.
	Line int
	// Path names the key, as "routes[2].price"; empty is the file as a whole.
	Path    string
	Message string
}

// String renders "paywall.yaml:12: routes[2].price: …", without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		fmt.Fprintf(&b, "%s: ", p.File)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Errors are all problems of a configuration in the order of their lines.
type Errors []Problem

// Error has one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// report collects problems and knows the line of each key.
type report struct {
	file     string
	lines    map[string]int
	errs     Errors
	warnings []Problem
}

func (r *report) fault(path, format string, args ...any) {
	r.errs = append(r.errs, r.problem(path, format, args...))
}

func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.problem(path, format, args...))
}

func (r *report) problem(path, format string, args ...any) Problem {
	return Problem{File: r.file, Line: lineOf(r.lines, path), Path: path, Message: fmt.Sprintf(format, args...)}
}

// has reports whether the key is in the file.
func (r *report) has(path string) bool { return r.lines[path] > 0 }

// lineOf is the line of a key, or of the nearest thing around it that is there.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if n := lines[path]; n > 0 {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

func sorted(list []Problem) []Problem {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	return list
}

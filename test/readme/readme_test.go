// Package readme holds README.md and the pages under docs to what they point at.
package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// examples are the files whose code README.md may show.
var examples = []string{"gate/example_test.go", "gate/gingate/example_test.go"}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```")

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// plain drops indentation: a page shows lines from inside a function.
func plain(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// elided stands in a page for lines of the example that it leaves out.
const elided = "// …\n"

// holds reports whether source has the pieces of a block, in their order.
func holds(source, block string) bool {
	for piece := range strings.SplitSeq(plain(block), elided) {
		_, rest, found := strings.Cut(source, "\n"+piece)
		if !found {
			return false
		}
		source = "\n" + rest
	}
	return true
}

func TestHolds(t *testing.T) {
	t.Parallel()
	const source = "\none\ntwo\nthree\nfour\n"
	for block, want := range map[string]bool{
		"one\ntwo\n":             true,
		"\ttwo\n\tthree\n":       true,
		"one\n// …\nfour\n":      true,
		"one\nthree\n":           false,
		"three\n// …\none\n":     false,
		"on\n":                   false,
		"ne\ntwo\n":              false,
		"two\nthree\nand more\n": false,
	} {
		if got := holds(source, block); got != want {
			t.Errorf("holds %q: %t, want %t", block, got, want)
		}
	}
}

func TestGoBlocksAreFromExamples(t *testing.T) {
	t.Parallel()
	var sources []string
	for _, name := range examples {
		sources = append(sources, "\n"+plain(read(t, name)))
	}
	shown := 0
	for _, block := range fence.FindAllStringSubmatch(read(t, "README.md"), -1) {
		if block[1] != "go" {
			continue
		}
		shown++
		if !slices.ContainsFunc(sources, func(s string) bool { return holds(s, block[2]) }) {
			t.Errorf("no example holds these lines:\n%s", block[2])
		}
	}
	if shown != len(examples) {
		t.Errorf("README.md shows %d blocks of Go, want one of each of %d examples", shown, len(examples))
	}
}

// TestFiguresAreFromThePage compares the table in README.md with the page that it is taken from.
func TestFiguresAreFromThePage(t *testing.T) {
	t.Parallel()
	_, section, ok := strings.Cut(read(t, "README.md"), "\n## How fast\n")
	if !ok {
		t.Fatal("README.md has no section How fast")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	if !strings.Contains(section, "make bench") {
		t.Error("How fast does not name the command that measures")
	}
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "|") && !strings.Contains(read(t, "docs/benchmarks.md"), line) {
			t.Errorf("docs/benchmarks.md does not hold the line %s", line)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notWord = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the names that a page's headings can be linked by.
func anchors(page string) map[string]bool {
	names := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		names[strings.ReplaceAll(notWord.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return names
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(more) == 0 {
		t.Fatalf("pages under docs: %v, %v", more, err)
	}
	for _, m := range more {
		pages = append(pages, "docs/"+filepath.Base(m))
	}
	links := 0
	for _, page := range pages {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			to := m[1]
			if strings.Contains(to, "://") {
				continue
			}
			links++
			name, anchor, _ := strings.Cut(to, "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, to)
				continue
			}
			if anchor != "" && !anchors(read(t, target))[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", page, to, target)
			}
		}
	}
	if links == 0 {
		t.Error("no page has a link")
	}
}

func TestMakeTargetsExist(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	named := 0
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "docs/getting-started.md"} {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)").FindAllStringSubmatch(read(t, page), -1) {
			named++
			if !targets[m[1]] {
				t.Errorf("%s names make %s, which is no target", page, m[1])
			}
		}
	}
	if named == 0 {
		t.Error("no page names a target")
	}
}

package openapi_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// archive is a test case in one file: a comment, and parts that each begin with
// a line "-- name --".
type archive struct {
	comment string
	parts   []part
}

type part struct{ name, text string }

var partLine = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readArchive(t *testing.T, file string) *archive {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := partLine.FindAllSubmatchIndex(data, -1)
	if len(lines) == 0 {
		t.Fatalf("%s has no parts", file)
	}
	a := &archive{comment: string(data[:lines[0][0]])}
	for i, l := range lines {
		end := len(data)
		if i+1 < len(lines) {
			end = lines[i+1][0]
		}
		a.parts = append(a.parts, part{string(data[l[2]:l[3]]), string(data[l[1]:end])})
	}
	return a
}

// part returns the text of a part, or nil.
func (a *archive) part(name string) []byte {
	for _, p := range a.parts {
		if p.name == name {
			return []byte(p.text)
		}
	}
	return nil
}

func (a *archive) set(name, text string) {
	for i, p := range a.parts {
		if p.name == name {
			a.parts[i].text = text
			return
		}
	}
	a.parts = append(a.parts, part{name, text})
}

func (a *archive) write(t *testing.T, file string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(a.comment)
	for _, p := range a.parts {
		b.WriteString("-- " + p.name + " --\n" + p.text)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

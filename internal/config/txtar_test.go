package config_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// archive is a file in the txtar format: a comment, then files that each begin
// with a line "-- name --".
type archive struct {
	comment []byte
	files   []archived
}

type archived struct {
	name string
	data []byte
}

var marker = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readArchive(t testing.TB, path string) *archive {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data, '\n')
	}
	a := &archive{comment: data}
	marks := marker.FindAllSubmatchIndex(data, -1)
	for i, m := range marks {
		if i == 0 {
			a.comment = data[:m[0]]
		}
		end := len(data)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		a.files = append(a.files, archived{string(data[m[2]:m[3]]), data[m[1]:end]})
	}
	return a
}

func (a *archive) format() []byte {
	b := bytes.Clone(a.comment)
	for _, f := range a.files {
		b = append(append(append(b, "-- "...), f.name...), " --\n"...)
		b = append(b, f.data...)
	}
	return b
}

package config

import "fmt"

// Sheet is a YAML file of another kind, read as strictly as a configuration.
type Sheet struct{ r *report }

// Read fills into, a pointer to a struct with the tags of a configuration, from at
// most so many bytes. Name is the file's, for problems. What is wrong is in [Sheet.Err].
func Read(name string, data []byte, most int, into any) *Sheet {
	d := &Sheet{&report{file: name, lines: map[string]int{}}}
	(&decoder{d.r, most}).parse(data, into)
	return d
}

// Fault adds a problem with the value at a path, such as "products[2].price".
func (d *Sheet) Fault(path, format string, args ...any) { d.r.fault(path, format, args...) }

// Has reports whether the key is in the file.
func (d *Sheet) Has(path string) bool { return d.r.has(path) }

// Err is all problems as [Errors], or nil.
func (d *Sheet) Err() error {
	if len(d.r.errs) == 0 {
		return nil
	}
	return Errors(sorted(d.r.errs))
}

// NewSheet is a document that is no YAML; Note says where its values stand.
func NewSheet(name string) *Sheet {
	return &Sheet{&report{file: name, lines: map[string]int{}}}
}

// Note says in which line the value at a path stands.
func (d *Sheet) Note(path string, line int) { d.r.lines[path] = line }

// FaultAt adds a problem with a line.
func (d *Sheet) FaultAt(line int, format string, args ...any) {
	d.r.errs = append(d.r.errs, Problem{File: d.r.file, Line: line, Message: fmt.Sprintf(format, args...)})
}

// Nearest is the known word that was probably meant, or empty.
func Nearest(word string, known []string) string { return nearest(word, known) }

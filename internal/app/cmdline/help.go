package cmdline

import (
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// width is that of a terminal whose width nobody asked for.
const width = 80

// page is the help of a command.
func page(c *command) string {
	var b strings.Builder
	b.WriteString("Usage: " + c.path())
	if len(c.subs) > 0 {
		b.WriteString(" <command>")
	}
	for _, a := range c.args {
		b.WriteString(" " + a.usage())
	}
	if len(c.flags) > 0 {
		b.WriteString(" [flags]")
	}
	b.WriteString("\n\n")
	for i, paragraph := range strings.Split(c.help, "\n\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.Join(wrap(paragraph, width), "\n") + "\n")
	}

	if len(c.args) > 0 {
		var rows [][2]string
		for _, a := range c.args {
			rows = append(rows, [2]string{a.usage(), a.help})
		}
		b.WriteString("\nArguments:\n")
		columns(&b, rows)
	}
	rows := [][2]string{{"-h, --help", "Show context-sensitive help."}}
	for _, f := range c.flags {
		left := "    " + f.usage()
		if f.short != "" {
			left = "-" + f.short + ", " + f.usage()
		}
		help := f.help
		if f.env != "" {
			help = strings.TrimSuffix(help, ".") + " ($" + f.env + ")."
		}
		rows = append(rows, [2]string{left, help})
	}
	b.WriteString("\nFlags:\n")
	columns(&b, rows)
	if len(c.subs) > 0 {
		rows = nil
		for _, leaf := range c.leaves() {
			_, below, _ := strings.Cut(leaf.path(), " ") // without the program
			rows = append(rows, [2]string{below, leaf.help})
		}
		b.WriteString("\nCommands:\n")
		columns(&b, rows)
	}
	if c.parent == nil {
		b.WriteString("\nRun \"" + c.name + " <command> --help\" for more information on a command.\n")
	}
	return b.String()
}

func (a *argument) usage() string {
	name := "<" + a.name + ">"
	if a.many() {
		name += " ..."
	}
	if a.optional {
		return "[" + name + "]"
	}
	return name
}

// many reports whether the argument is a list.
func (a *argument) many() bool { return a.target.Kind() == reflect.Slice }

func (f *flag) usage() string {
	switch {
	case f.target.Kind() == reflect.Bool:
		return "--" + f.name
	case f.fallback == "":
		return "--" + f.name + "=" + f.kind()
	case f.target.Kind() == reflect.String:
		return "--" + f.name + "=" + strconv.Quote(f.fallback)
	default:
		return "--" + f.name + "=" + f.fallback
	}
}

// columns writes rows of a term and what it means.
func columns(b *strings.Builder, rows [][2]string) {
	const indent, gap = 2, 4
	left := 0
	for _, row := range rows {
		left = max(left, utf8.RuneCountInString(row[0]))
	}
	for _, row := range rows {
		lines := wrap(row[1], width-indent-left-gap)
		b.WriteString(strings.Repeat(" ", indent) + row[0])
		pad := left - utf8.RuneCountInString(row[0]) + gap
		for _, line := range lines {
			b.WriteString(strings.Repeat(" ", pad) + line + "\n")
			pad = indent + left + gap
		}
		if len(lines) == 0 {
			b.WriteByte('\n')
		}
	}
}

// wrap breaks a text into lines of at most so many characters, where its words
// allow that.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > limit:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

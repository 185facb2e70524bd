package cmdline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Program is what a command line is for.
type Program struct {
	Name        string
	Description string // paragraphs
	// Getenv looks variables up; nil finds none.
	Getenv func(string) (string, bool)
}

// Parse fills root, a pointer to a struct of commands, and returns a pointer to
// the struct of the command that was chosen. When help is asked for it returns
// that instead, and no command. Errors are about args, in words for who wrote
// them, or about the tags of root.
func (p Program) Parse(root any, args []string) (chosen any, help string, err error) {
	v := reflect.ValueOf(root)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, "", errors.New("cmdline: root is no pointer to a struct")
	}
	c := &command{name: p.Name, help: p.Description, target: v.Elem()}
	if err := describe(c); err != nil {
		return nil, "", fmt.Errorf("cmdline: %w", err)
	}
	r := reader{at: c, rest: args}
	if err := r.read(); err != nil {
		if errors.Is(err, errHelp) {
			return nil, page(r.at), nil
		}
		return nil, "", err
	}
	if len(r.at.subs) > 0 {
		return nil, "", fmt.Errorf("expected one of %s", some(names(r.at.subs)))
	}
	if err := r.at.complete(p.Getenv); err != nil {
		return nil, "", err
	}
	return r.at.target.Addr().Interface(), "", nil
}

var errHelp = errors.New("help is asked for")

// reader goes through the arguments and down the commands.
type reader struct {
	at    *command
	rest  []string
	plain bool // after "--": no flags any more
	given int  // arguments by position
}

func (r *reader) next() (string, bool) {
	if len(r.rest) == 0 {
		return "", false
	}
	word := r.rest[0]
	r.rest = r.rest[1:]
	return word, true
}

// read takes every word. A request for help ends it: what comes after may be half
// written yet.
func (r *reader) read() error {
	for {
		word, ok := r.next()
		if !ok {
			return nil
		}
		var err error
		switch {
		case !r.plain && word == "--":
			r.plain = true
		case !r.plain && strings.HasPrefix(word, "--"):
			err = r.long(word[2:])
		case !r.plain && len(word) > 1 && word[0] == '-':
			err = r.letters(word[1:])
		default:
			err = r.word(word)
		}
		if err != nil {
			return err
		}
	}
}

// long takes --name, --name=value or --name value.
func (r *reader) long(text string) error {
	name, text, attached := strings.Cut(text, "=")
	if name == "help" && !attached {
		return errHelp
	}
	for _, f := range r.at.flags {
		if f.name == name {
			return r.flag(f, text, attached)
		}
	}
	return r.unknown("--" + name)
}

// letters takes -a, -abc of flags without values, -vVALUE and -v VALUE.
func (r *reader) letters(text string) error {
	for text != "" {
		_, size := utf8.DecodeRuneInString(text)
		letter := text[:size]
		text = text[size:]
		if letter == "h" {
			return errHelp
		}
		f := r.at.letter(letter)
		if f == nil {
			return r.unknown("-" + letter)
		}
		if f.target.Kind() != reflect.Bool {
			return r.flag(f, text, text != "")
		}
		if err := r.flag(f, "", false); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) letter(letter string) *flag {
	for _, f := range c.flags {
		if f.short == letter {
			return f
		}
	}
	return nil
}

func (r *reader) flag(f *flag, text string, attached bool) error {
	switch {
	case attached:
	case f.target.Kind() == reflect.Bool:
		text = "true"
	default:
		// A value that begins like a flag is one that was forgotten, unless
		// it is attached; "-" is standard input.
		if len(r.rest) == 0 || (len(r.rest[0]) > 1 && r.rest[0][0] == '-') {
			return fmt.Errorf("--%s: expected a value", f.name)
		}
		text, _ = r.next()
	}
	f.set = true
	if err := f.assign(text); err != nil {
		return fmt.Errorf("--%s: %w", f.name, err)
	}
	return nil
}

// word takes a command or an argument.
func (r *reader) word(text string) error {
	for _, sub := range r.at.subs {
		if sub.name == text {
			r.at = sub
			return nil
		}
	}
	if n := len(r.at.args); n > 0 && r.given == n && r.at.args[n-1].many() {
		r.given-- // the last one takes all that is left
	}
	if r.given == len(r.at.args) {
		return fmt.Errorf("unexpected argument %s%s", text, meant(text, names(r.at.subs)))
	}
	a := r.at.args[r.given]
	r.given++
	a.set = true
	if err := a.assign(text); err != nil {
		return fmt.Errorf("<%s>: %w", a.name, err)
	}
	return nil
}

func (r *reader) unknown(name string) error {
	known := []string{"--help"}
	for _, f := range r.at.flags {
		known = append(known, "--"+f.name)
	}
	return fmt.Errorf("unknown flag %s%s", name, meant(name, known))
}

// complete gives what the command line left out, and says what it must not.
func (c *command) complete(getenv func(string) (string, bool)) error {
	var missing []string
	for _, f := range c.flags {
		if f.set {
			continue
		}
		text := f.fallback
		if f.env != "" && getenv != nil {
			// A variable without a value is none.
			if given, ok := getenv(f.env); ok && given != "" {
				text, f.set = given, true
			}
		}
		if text == "" {
			if f.required {
				missing = append(missing, f.usage())
			}
			continue
		}
		if err := f.assign(text); err != nil {
			if f.set {
				return fmt.Errorf("--%s (from $%s): %w", f.name, f.env, err)
			}
			return fmt.Errorf("--%s: %w", f.name, err)
		}
	}
	for _, a := range c.args {
		if !a.set && !a.optional {
			return fmt.Errorf("expected %q", "<"+a.name+">")
		}
	}
	if missing != nil {
		return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
	}
	return nil
}

func names(cs []*command) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = c.name
	}
	return out
}

// some is a list that does not fill the screen; the help has the rest.
func some(words []string) string {
	const enough = 5
	if len(words) > enough {
		return quoted(words[:enough]) + ", ..."
	}
	return quoted(words)
}

// meant is a question after the one known word that is close to what was written.
func meant(text string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(text, k); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is how many letters to add, drop or change make one word of the other.
func distance(a, b string) int {
	if max(len(a), len(b)) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

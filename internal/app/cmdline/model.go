package cmdline

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// command is a struct as its tags describe it.
type command struct {
	name   string // empty for the program
	help   string
	parent *command
	target reflect.Value // addressable struct
	subs   []*command
	flags  []*flag
	args   []*argument
}

// value is what a flag and an argument have in common.
type value struct {
	name, help string
	target     reflect.Value
	choices    []string
	path       bool // expanded and absolute
	whole      bool // commas do not separate
	set        bool // by the command line
}

type flag struct {
	value

	short    string
	fallback string
	env      string
	required bool
}

type argument struct {
	value

	optional bool
}

// describe reads the tags of a struct and of those below it.
func describe(c *command) error {
	t := c.target.Type()
	for i := range t.NumField() {
		field, target := t.Field(i), c.target.Field(i)
		tag := field.Tag
		v := value{
			name: tag.Get("name"), help: tag.Get("help"), target: target,
			path: tag.Get("type") == "path", whole: tag.Get("sep") == "none",
		}
		if v.name == "" {
			v.name = kebab(field.Name)
		}
		if enum := tag.Get("enum"); enum != "" {
			v.choices = strings.Split(enum, ",")
		}
		var err error
		switch {
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			embedded := command{target: target}
			err = describe(&embedded)
			c.flags, c.args = append(c.flags, embedded.flags...), append(c.args, embedded.args...)
		case !field.IsExported():
		case has(tag, "cmd"):
			sub := &command{name: v.name, help: v.help, parent: c, target: target}
			if field.Type.Kind() != reflect.Struct {
				return fmt.Errorf("command %s is no struct", v.name)
			}
			err = describe(sub)
			c.subs = append(c.subs, sub)
		case !settable(target):
			err = fmt.Errorf("%s is of type %s, which has no values on a command line", v.name, field.Type)
		case has(tag, "arg"):
			c.args = append(c.args, &argument{value: v, optional: has(tag, "optional")})
		default:
			c.flags = append(c.flags, &flag{
				value: v, short: tag.Get("short"), fallback: tag.Get("default"), env: tag.Get("env"), required: has(tag, "required"),
			})
		}
		if err != nil {
			return err
		}
	}
	return c.unambiguous()
}

// unambiguous finds names that are given twice, or taken by help, and commands
// beside arguments, which a word could be either of.
func (c *command) unambiguous() error {
	taken := map[string]bool{"--help": true, "-h": true}
	var all []string
	for _, f := range c.flags {
		all = append(all, "--"+f.name)
		if f.short != "" {
			all = append(all, "-"+f.short)
		}
	}
	all = append(all, names(c.subs)...)
	for _, a := range c.args {
		all = append(all, "<"+a.name+">")
	}
	for _, name := range all {
		if taken[name] {
			return fmt.Errorf("%s is there twice", name)
		}
		taken[name] = true
	}
	if len(c.subs) > 0 && len(c.args)+len(c.flags) > 0 {
		return fmt.Errorf("%s has commands, and flags or arguments beside them", c.name)
	}
	return nil
}

func has(tag reflect.StructTag, key string) bool {
	_, ok := tag.Lookup(key)
	return ok
}

// path is the command as it is written.
func (c *command) path() string {
	if c.parent == nil {
		return c.name
	}
	return c.parent.path() + " " + c.name
}

// leaves are the commands that do something, in the order of the fields.
func (c *command) leaves() []*command {
	if len(c.subs) == 0 {
		return []*command{c}
	}
	var out []*command
	for _, sub := range c.subs {
		out = append(out, sub.leaves()...)
	}
	return out
}

// kebab is a Go name as it is written on a command line: DryRun is dry-run.
func kebab(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if unicode.IsUpper(r) && i > 0 {
			next := i+1 < len(letters) && unicode.IsLower(letters[i+1])
			if unicode.IsLower(letters[i-1]) || next {
				b.WriteByte('-')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var durationType = reflect.TypeFor[time.Duration]()

func settable(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64:
		return true
	case reflect.Slice:
		return v.Type().Elem().Kind() == reflect.String
	default:
		return false
	}
}

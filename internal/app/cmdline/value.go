package cmdline

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is a value's type in the words of the help.
func (v *value) kind() string {
	switch {
	case v.target.Type() == durationType:
		return "DURATION"
	case v.target.Kind() == reflect.Slice && v.whole:
		return strings.ToUpper(v.name)
	case v.target.Kind() == reflect.Slice:
		return strings.ToUpper(v.name) + ",..."
	case v.target.Kind() == reflect.Int, v.target.Kind() == reflect.Int64, v.target.Kind() == reflect.Uint64:
		return "NUMBER"
	default:
		return "STRING"
	}
}

// assign gives a value what is written for it. A list takes more each time.
func (v *value) assign(text string) error {
	if v.choices != nil && !slices.Contains(v.choices, text) {
		return fmt.Errorf("must be one of %s but got %q", quoted(v.choices), text)
	}
	switch {
	case v.target.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("expected a duration such as 90s or 24h but got %q", text)
		}
		v.target.SetInt(int64(d))
	case v.target.Kind() == reflect.Slice:
		items := []string{text}
		if !v.whole {
			items = strings.Split(text, ",")
		}
		v.target.Set(reflect.AppendSlice(v.target, reflect.ValueOf(items).Convert(v.target.Type())))
	case v.target.Kind() == reflect.Bool:
		return v.assignBool(text)
	case v.target.Kind() == reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("expected a whole number from 0 on but got %q", text)
		}
		v.target.SetUint(n)
	case v.target.Kind() == reflect.String && v.path && text != "-":
		path, err := expand(text)
		if err != nil {
			return err
		}
		v.target.SetString(path)
	case v.target.Kind() == reflect.String:
		v.target.SetString(text)
	default:
		n, err := strconv.ParseInt(text, 10, v.target.Type().Bits())
		if err != nil {
			return fmt.Errorf("expected a whole number but got %q", text)
		}
		v.target.SetInt(n)
	}
	return nil
}

func (v *value) assignBool(text string) error {
	switch strings.ToLower(text) {
	case "true", "1", "yes":
		v.target.SetBool(true)
	case "false", "0", "no":
		v.target.SetBool(false)
	default:
		return fmt.Errorf("must be true or false but got %q", text)
	}
	return nil
}

// expand makes a path absolute, from the home directory after a tilde.
func expand(path string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home directory for %q", path)
		}
		return filepath.Join(home, path[1:]), nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("no current directory for %q", path)
	}
	return absolute, nil
}

func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strconv.Quote(w)
	}
	return strings.Join(out, ", ")
}

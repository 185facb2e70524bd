package x402

import (
	"bytes"
	"fmt"
	"strings"
)

// walk calls f for the members of an object, which is JSON by its grammar: it finds
// where they begin and end, and looks no further into them.
func walk(data []byte, f func(name string, value []byte) error) error {
	data = bytes.Trim(data, " \t\r\n")
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return fmt.Errorf("%w: not an object", ErrJSON)
	}
	for i := skipSpace(data, 1); data[i] != '}'; i = skipSpace(data, i) {
		if data[i] != '"' {
			return fmt.Errorf("%w: not an object", ErrJSON)
		}
		end := textEnd(data, i)
		name, ok := unquote(data[i:end])
		i = skipSpace(data, end)
		if !ok || data[i] != ':' {
			return fmt.Errorf("%w: not an object", ErrJSON)
		}
		i = skipSpace(data, i+1)
		end = valueEnd(data, i)
		if end == i {
			return fmt.Errorf("%w: not an object", ErrJSON)
		}
		if err := f(name, data[i:end:end]); err != nil {
			return err
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i++
		}
	}
	return nil
}

// skipSpace is the index of the next byte that is no space, at most the last one.
func skipSpace(data []byte, i int) int {
	for i < len(data)-1 && strings.IndexByte(" \t\r\n", data[i]) >= 0 {
		i++
	}
	return min(i, len(data)-1)
}

// textEnd is the index behind the string that begins at i, or the end of data.
func textEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// valueEnd is the index behind the value that begins at i.
func valueEnd(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = textEnd(data, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(data)
}

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A figure is one row of the table.
type figure struct {
	name string
	// ours and floor are written as they are; the floor is empty for limits that stand alone.
	ours, floor string
	// value is compared with goal: the ratio to the floor, or the figure itself.
	value float64
	// goal is zero for what has none, such as a ceiling; with most it is a goal.
	goal float64
	// most says that goal is an upper bound.
	most bool
	unit string
}

func (f figure) met() bool {
	if f.most {
		return f.value <= f.goal
	}
	return f.value >= f.goal
}

// write prints the table in Markdown.
func write(w io.Writer, figures []figure) error {
	rows := [][]string{{"figure", "ours", "floor", "ratio", "goal", "met"}}
	for _, f := range figures {
		ratio, sign, met := "", "≥ ", "yes"
		if f.floor != "" {
			ratio = number(f.value)
		}
		if f.most {
			sign = "≤ "
		}
		if !f.met() {
			met = "**no**"
		}
		goal := sign + number(f.goal) + f.unit
		if f.goal == 0 && !f.most {
			goal, met = "", ""
		}
		rows = append(rows, []string{f.name, f.ours, f.floor, ratio, goal, met})
	}
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, r := range rows {
		for i, cell := range r {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len([]rune(cell))) + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err //nolint:wrapcheck // nothing to add
}

// number has two decimals below ten, and groups of three above a thousand.
func number(v float64) string {
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		return fmt.Sprintf("%.2f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// percentile is the value that p of 100 are not above.
func percentile[T int64 | float64](v []T, p int) T {
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, len(s)*p/100)]
}

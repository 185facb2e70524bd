package link

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		limit          int
	}{
		{"plain text stays", "Grüße, 日本 ☂", "Grüße, 日本 ☂", 50},
		{"colours go with their sequence", "a\x1b[1;31mb\x1b[0mc", "abc", 50},
		{"a window title goes", "a\x1b]0;owned\x07b", "ab", 50},
		{"a hyperlink leaves its text", "\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", "text", 50},
		{"C1 sequences", "a\u009b31mb", "ab", 50},
		{"direction marks", "a\u202eb\u2066c\u200fd", "abcd", 50},
		{"invisible characters", "a\u200b\u2060\ufeff\u00adb", "ab", 50},
		{"tags", "a\U000e0041\U000e007fb", "ab", 50},
		{"bad bytes", "a\xffb", "a\uFFFDb", 50},
		{"space is single", "  a \t  b  ", "a b", 50},
		{"paragraphs stay, gaps do not", "a\r\n\n\n\n b", "a\n\nb", 50},
		{"other line ends", "a\u2028b", "a\nb", 50},
		{"just fits", "abcd", "abcd", 4},
		{"one too many", "abcde", "abc…", 4},
		{"no space before the ellipsis", "abc de", "abc…", 5},
		{"NUL", "a\x00b", "ab", 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := clean(tt.in, tt.limit); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if got := line("a\n\nb", 9); got != "a b" {
		t.Errorf("line: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\u202ec\n\n\nd", 3)
	f.Add("\x1b]0;t\x07\u009b0m \u2028", 1)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, limit%200)
		got := clean(s, limit)
		if n := utf8.RuneCountInString(got); n > limit {
			t.Errorf("%d characters, want at most %d: %q", n, limit, got)
		}
		if again := clean(got, limit); again != got {
			t.Errorf("%q becomes %q when cleaned again", got, again)
		}
		if strings.Contains(got, "\n\n\n") || strings.TrimSpace(got) != got {
			t.Errorf("space is left: %q", got)
		}
		for _, r := range got {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
		if one := line(s, limit); strings.Contains(one, "\n") {
			t.Errorf("a line has two: %q", one)
		}
	})
}

func TestPrice(t *testing.T) {
	for _, tt := range []struct {
		amount   int64
		currency string
		want     string
		short    string
	}{
		{0, "usd", "$0.00 USD", "$0.00"},
		{5, "usd", "$0.05 USD", "$0.05"},
		{123456, "usd", "$1,234.56 USD", "$1,234.56"},
		{100000000, "eur", "€1,000,000.00 EUR", "€1,000,000.00"},
		{-250, "gbp", "−£2.50 GBP", "−£2.50"},
		{500, "jpy", "¥500 JPY", "¥500"},
		{1500, "kwd", "1.500 KWD", "1.500 KWD"},
		{1500, "chf", "15.00 CHF", "15.00 CHF"},
		{-9223372036854775808, "usd", "−$92,233,720,368,547,758.08 USD", "−$92,233,720,368,547,758.08"},
	} {
		if got := price(tt.amount, tt.currency); got != tt.want {
			t.Errorf("%d %s is %q, want %q", tt.amount, tt.currency, got, tt.want)
		}
		if got := short(tt.amount, tt.currency); got != tt.short {
			t.Errorf("%d %s is short %q, want %q", tt.amount, tt.currency, got, tt.short)
		}
	}
}

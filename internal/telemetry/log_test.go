package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/internal/telemetry"
)

const (
	stripeKey = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
	token     = "spt_1N4Zv32eZvKYlo2CPhVPkJlW"
	jwt       = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJwYXlfMSJ9.c2lnbmF0dXJl"
)

// logged is the one event that f writes, as JSON and as text.
func logged(t *testing.T, f func(*slog.Logger)) (fields map[string]any, text string) {
	t.Helper()
	var j, x bytes.Buffer
	f(telemetry.NewLogger(&j, telemetry.Options{Format: "json"}))
	f(telemetry.NewLogger(&x, telemetry.Options{Format: "text"}))
	if err := json.Unmarshal(j.Bytes(), &fields); err != nil {
		t.Fatalf("%q: %v", j.String(), err)
	}
	if strings.Count(j.String(), "\n") != 1 || strings.Count(x.String(), "\n") != 1 {
		t.Fatalf("more than one line: %q, %q", j.String(), x.String())
	}
	delete(fields, "time")
	delete(fields, "level")
	delete(fields, "msg")
	return fields, x.String()
}

type panics struct{}

func (*panics) Error() string { panic("nil") }

type valuer struct{ secret string }

func (v valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", "x"), slog.String("token", v.secret))
}

type named struct {
	ID    string `json:"id"`
	Token string `json:"token"`
	Inner []any  `json:"inner"`
}

func TestRedact(t *testing.T) {
	parsed, err := url.Parse("https://user:pass@h/p?token=" + token + "#f")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		attr slog.Attr
		want any
	}{
		{"plain", slog.String("a", "text"), "text"},
		{"number", slog.Int("a", 5), 5.0},
		{"truth", slog.Bool("a", true), true},
		{"time", slog.Time("a", time.Unix(0, 0).UTC()), "1970-01-01T00:00:00Z"},
		{"nothing", slog.Any("a", nil), nil},
		{"processor key", slog.String("a", stripeKey), "[redacted]"},
		{"restricted key", slog.String("a", "rk_live_1"), "[redacted]"},
		{"webhook secret", slog.String("a", "whsec_1"), "[redacted]"},
		{"payment token", slog.String("a", token), "[redacted]"},
		{"bearer", slog.String("a", "Bearer abc"), "[redacted]"},
		{"credential", slog.String("a", `Payment id="x"`), "[redacted]"},
		{"JWT", slog.String("a", jwt), "[redacted]"},
		{"key within", slog.String("a", "no such key: "+stripeKey+"."), "no such key: [redacted]."},
		{"quoted token within", slog.String("a", `{"spt":"`+token+`"}`), `{"spt":"[redacted]"}`},
		{"bearer within", slog.String("a", "sent Authorization: bearer abcdef0123456789"), "sent Authorization: [redacted]"},
		{"credential within", slog.String("a", "got PAYMENT eyJjaGFsbGVuZ2UiOnsiaWQi"), "got [redacted]"},
		{"credential with a space in its JSON", slog.String("a", "got payment eyAiY2hhbGxlbmdlIjp7Imlk"), "got [redacted]"},
		{"client secret", slog.String("a", "intent pi_3M_secret_9x"), "intent [redacted]"},
		{"URL within", slog.String("a", `Get "https://u:p@h:1/p?code=1&x=2": refused`), `Get "https://h:1/p?[redacted]": refused`},
		{"a sentence is no secret", slog.String("a", "the payment expired because the task_id is unknown"), "the payment expired because the task_id is unknown"},
		{"a payment's id is none", slog.String("a", "capture payment pay_0190a8b2c3d4e5f60718293a4b5c6d7e: declined"), "capture payment pay_0190a8b2c3d4e5f60718293a4b5c6d7e: declined"},

		{"authorization", slog.String("authorization", "x"), "[redacted]"},
		{"cookie", slog.String("set_cookie", "x"), "[redacted]"},
		{"token of two words", slog.String("access_token", "x"), "[redacted]"},
		{"token's id", slog.String("token_id", "x"), "[redacted]"},
		{"secret number", slog.Int("secret", 5), "[redacted]"},
		{"key", slog.Any("api_key", []byte("x")), "[redacted]"},
		{"what is said about a key", slog.String("key_id", "k1"), "k1"},
		{"no key", slog.String("monkey", "x"), "x"},

		{"error", slog.Any("err", fmt.Errorf("call: %w", errors.New("bad "+stripeKey))), "call: bad [redacted]"},
		{"error on nil", slog.Any("err", (*panics)(nil)), "!PANIC"},
		{"bytes", slog.Any("a", []byte("secret")), "6 bytes"},
		{"URL", slog.Any("a", parsed), "https://h/p"},
		{"URL by value", slog.Any("a", *parsed), "https://h/p"},
		{"function", slog.Any("a", func() {}), "!func()"},
		{"header", slog.Any("a", http.Header{"Authorization": {"x"}, "Set-Cookie": {"y"}, "Accept": {"*/*"}}), `{"Accept":["*/*"],"Authorization":"[redacted]","Set-Cookie":"[redacted]"}`},
		{"struct", slog.Any("a", named{"i", "x", []any{token, 1, map[string]any{"secret": "y"}}}), `{"id":"i","inner":["[redacted]",1,{"secret":"[redacted]"}],"token":"[redacted]"}`},
		{"group", slog.Group("a", slog.String("b", token), slog.String("token", "x")), map[string]any{"b": "[redacted]", "token": "[redacted]"}},
		{"secret group", slog.Group("credentials", slog.String("b", "x"), slog.Int("c", 1)), map[string]any{"b": "[redacted]", "c": "[redacted]"}},
		{"LogValuer", slog.Any("a", valuer{"x"}), map[string]any{"id": "x", "token": "[redacted]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, f := range map[string]func(*slog.Logger){
				"in the event":   func(l *slog.Logger) { l.InfoContext(t.Context(), "event", tt.attr) },
				"in the logger":  func(l *slog.Logger) { l.With(tt.attr).InfoContext(t.Context(), "event") },
				"in its message": func(l *slog.Logger) { l.InfoContext(t.Context(), "event "+token, tt.attr) },
			} {
				fields, text := logged(t, f)
				if diff := cmp.Diff(map[string]any{tt.attr.Key: tt.want}, fields); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
				for _, secret := range []string{stripeKey[8:], token[4:], jwt[20:]} {
					if strings.Contains(text, secret) {
						t.Errorf("%s: %s", name, text)
					}
				}
			}
		})
	}
}

func TestRedact_Groups(t *testing.T) {
	fields, _ := logged(t, func(l *slog.Logger) {
		l.WithGroup("http").With("path", "/a").WithGroup("cookies").InfoContext(t.Context(), "event", "sid", "1")
	})
	want := map[string]any{"http": map[string]any{"path": "/a", "cookies": map[string]any{"sid": "[redacted]"}}}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}

	deep := slog.StringValue("bottom")
	for range 100 {
		deep = slog.GroupValue(slog.Attr{Key: "g", Value: deep})
	}
	if _, text := logged(t, func(l *slog.Logger) { l.InfoContext(t.Context(), "event", "g", deep) }); len(text) > 1000 || strings.Contains(text, "bottom") {
		t.Errorf("groups without end: %d bytes", len(text))
	}
}

func TestNewLogger_Level(t *testing.T) {
	var b bytes.Buffer
	l := telemetry.NewLogger(&b, telemetry.Options{})
	l.DebugContext(t.Context(), "hidden")
	if b.Len() != 0 {
		t.Errorf("below the default level: %s", b.String())
	}
	var level slog.LevelVar
	level.Set(slog.LevelError)
	l = telemetry.NewLogger(&b, telemetry.Options{Level: &level})
	l.WarnContext(t.Context(), "hidden")
	if b.Len() != 0 {
		t.Errorf("below the level: %s", b.String())
	}
	level.Set(slog.LevelDebug)
	if l.DebugContext(t.Context(), "shown"); !json.Valid(b.Bytes()) || b.Len() == 0 {
		t.Errorf("JSON is the default: %q", b.String())
	}
}

func TestRedact_Truncates(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"letters", strings.Repeat("a", 600)},
		{"quotes", strings.Repeat(`"`, 300)},
		{"line ends", strings.Repeat("\n", 300)},
		{"NUL", strings.Repeat("\x00", 100)},
		{"direction marks", strings.Repeat("\u202e", 100)},
		{"broken", strings.Repeat("\xff", 200)},
		{"wide", strings.Repeat("\u00e9", 300)},
		{"a MiB", strings.Repeat("x", 1<<20)},
		{"a secret at the end of what is looked at", strings.Repeat("x", 2040) + " " + token},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields, text := logged(t, func(l *slog.Logger) { l.InfoContext(t.Context(), "event", "a", tt.in) })
			got, ok := fields["a"].(string)
			if !ok || !strings.HasSuffix(got, "\u2026") {
				t.Errorf("%q is not marked as cut", got)
			}
			if n := len(text[strings.Index(text, " a=")+3:]); n > 512+len(`""`)+1 {
				t.Errorf("%d bytes of text", n)
			}
		})
	}
	whole := strings.Repeat("a", 512)
	if fields, _ := logged(t, func(l *slog.Logger) { l.InfoContext(t.Context(), "event", "a", whole) }); fields["a"] != whole {
		t.Error("512 bytes were cut")
	}
}

// Whatever is logged, the event is one line of printable characters, its value
// is within the limit, and a token put anywhere is not in it.
func checkEvent(t interface {
	Helper()
	Context() context.Context
	Fatalf(string, ...any)
}, before, after string,
) {
	t.Helper()
	value := before + " " + token + " " + after
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		l := telemetry.NewLogger(&b, telemetry.Options{Format: format})
		l.LogAttrs(t.Context(), slog.LevelInfo, value, slog.String("a", value), slog.Any("b", errors.New(value)), slog.Any("c", []string{value})) //nolint:sloglint // hostile text in the message is what is tested
		line := strings.TrimSuffix(b.String(), "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%s of %q: %q", format, value, line)
		}
		if strings.Contains(line, token[4:]) {
			t.Fatalf("%s of %q: %q", format, value, line)
		}
		if len(line) > 4*(512+40) {
			t.Fatalf("%s of %q: %d bytes", format, value, len(line))
		}
		if format == "json" {
			var fields struct{ A json.RawMessage }
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if len(fields.A) > 512+len(`""`) {
				t.Fatalf("%d bytes: %s", len(fields.A), fields.A)
			}
		}
	}
}

func TestRedact_AnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkEvent(t, rapid.String().Draw(t, "before"), string(rapid.SliceOf(rapid.Byte()).Draw(t, "after")))
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("plain", "")
	f.Add("\x1b[2J\u202e\r\n", `"\`)
	f.Add(strings.Repeat("x", 500), "\xff\xfe")
	f.Add("https://u:p@h/?", "Bearer x")
	f.Fuzz(func(t *testing.T, before, after string) { checkEvent(t, before, after) })
}

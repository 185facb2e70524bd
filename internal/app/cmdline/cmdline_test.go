package cmdline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/internal/app/cmdline"
)

type common struct {
	Config string `short:"c" help:"The file." default:"x.yaml"`
}

type buy struct {
	common

	URL     string        `arg:"" help:"What."`
	Note    string        `arg:"" optional:"" help:"Why."`
	Header  []string      `short:"H" sep:"none" help:"A field."`
	Host    []string      `help:"Hosts."`
	Yes     bool          `short:"y" help:"Go on."`
	DryRun  bool          `short:"n" help:"Only say it."`
	Limit   int           `help:"How many." default:"50"`
	Seed    uint64        `help:"Chance."`
	Wait    time.Duration `help:"How long." default:"24h"`
	Wallet  string        `enum:"link,processor" default:"link" help:"Which."`
	LinkAPI string        `help:"Origin." env:"LINK"`
	Out     string        `short:"o" type:"path" help:"A file."`
	Delay   time.Duration `name:"pause" env:"PAUSE" help:"Delay."`
}

type keysNew struct {
	Issuer string `required:"" help:"Who."`
	Dir    string `default:"." type:"path" help:"Where."`
}

type tree struct {
	Buy  buy `cmd:"" help:"Buy it."`
	Keys struct {
		New  keysNew  `cmd:"" help:"Make keys."`
		List struct{} `cmd:"" help:"List keys."`
	} `cmd:"" help:"All about keys."`
}

func parse(env map[string]string, args ...string) (any, string, error) {
	return cmdline.Program{Name: "shop", Description: "Sells.\n\nExit codes: few.", Getenv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}}.Parse(&tree{}, args)
}

func TestParse(t *testing.T) {
	base := buy{common: common{Config: "x.yaml"}, URL: "u", Limit: 50, Wait: 24 * time.Hour, Wallet: "link"}
	with := func(change func(*buy)) *buy {
		b := base
		change(&b)
		return &b
	}
	for _, tt := range []struct {
		name string
		args string
		env  map[string]string
		want *buy
	}{
		{"defaults", "buy u", nil, &base},
		{"flags behind arguments", "buy u --limit 3", nil, with(func(b *buy) { b.Limit = 3 })},
		{"flags before, attached", "buy --limit=-3 u", nil, with(func(b *buy) { b.Limit = -3 })},
		{"a flag of an embedded struct", "buy -c y u", nil, with(func(b *buy) { b.Config = "y" })},
		{"the last of two counts", "buy -c y -cz u", nil, with(func(b *buy) { b.Config = "z" })},
		{"letters together, with a value", "buy -ync y u", nil, with(func(b *buy) { b.Yes, b.DryRun, b.Config = true, true, "y" })},
		{"kebab case", "buy --dry-run --link-api a u", nil, with(func(b *buy) { b.DryRun, b.LinkAPI = true, "a" })},
		{"a boolean does not take the next word", "buy --yes u", nil, with(func(b *buy) { b.Yes = true })},
		{"a boolean with a value", "buy --yes=no u", nil, &base},
		{"an optional argument", "buy u n", nil, with(func(b *buy) { b.Note = "n" })},
		{"after two dashes all are arguments", "buy -y -- u --yes", nil, with(func(b *buy) { b.Yes, b.Note = true, "--yes" })},
		{"one dash is an argument", "buy u -", nil, with(func(b *buy) { b.Note = "-" })},
		{"and a value", "buy u -o -", nil, with(func(b *buy) { b.Out = "-" })},
		{"an empty value is one", "buy u --config=", nil, with(func(b *buy) { b.Config = "" })},
		{"lists", "buy u --host a,b --host c", nil, with(func(b *buy) { b.Host = []string{"a", "b", "c"} })},
		{"lists that keep commas", "buy u -Ha,b -H c", nil, with(func(b *buy) { b.Header = []string{"a,b", "c"} })},
		{"numbers", "buy u --seed 18446744073709551615 --wait 90s", nil, with(func(b *buy) { b.Seed, b.Wait = 1<<64-1, 90*time.Second })},
		{"one of the choices", "buy u --wallet processor", nil, with(func(b *buy) { b.Wallet = "processor" })},
		{"a variable", "buy u", map[string]string{"LINK": "l", "PAUSE": "1s"}, with(func(b *buy) { b.LinkAPI, b.Delay = "l", time.Second })},
		{"a flag before a variable", "buy u --link-api a", map[string]string{"LINK": "l"}, with(func(b *buy) { b.LinkAPI = "a" })},
		{"a variable without a value", "buy u", map[string]string{"PAUSE": ""}, &base},
		{"a command's name as an argument", "buy keys", nil, with(func(b *buy) { b.URL = "keys" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, help, err := parse(tt.env, strings.Fields(tt.args)...)
			if err != nil || help != "" {
				t.Fatalf("%v, %q", err, help)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(buy{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParse_Paths(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", "/somewhere")
	for in, want := range map[string]string{
		"a/../b": filepath.Join(here, "b"), "/a": "/a", "~": "/somewhere", "~/a": "/somewhere/a", "~a": filepath.Join(here, "~a"),
	} {
		got, _, err := parse(nil, "keys", "new", "--issuer", "i", "--dir", in)
		if k, ok := got.(*keysNew); err != nil || !ok || k.Dir != want {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
	}
	got, _, err := parse(nil, "keys", "new", "--issuer", "i")
	if k, ok := got.(*keysNew); err != nil || !ok || k.Dir != here {
		t.Errorf("the default: %v, %v", got, err)
	}
}

func TestParse_Refusals(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", `expected one of "buy", "keys"`},
		{"by", `unexpected argument by, did you mean "buy"?`},
		{"keys", `expected one of "new", "list"`},
		{"keys buy", "unexpected argument buy"},
		{"keys list x", "unexpected argument x"},
		{"buy", `expected "<url>"`},
		{"buy u n m", "unexpected argument m"},
		{"buy u --confg x", `unknown flag --confg, did you mean "--config"?`},
		{"--config x buy u", "unknown flag --config"},
		{"buy u -x", "unknown flag -x"},
		{"buy u -yx", "unknown flag -x"},
		{"buy u --help=yes", "unknown flag --help"},
		{"buy u --config", "--config: expected a value"},
		{"buy u --config --yes", "--config: expected a value"},
		{"buy u -c -y", "--config: expected a value"},
		{"buy u --yes=maybe", `--yes: must be true or false but got "maybe"`},
		{"buy u --limit many", `--limit: expected a whole number but got "many"`},
		{"buy u --limit 99999999999999999999", "--limit: expected a whole number"},
		{"buy u --limit 0x10", "--limit: expected a whole number"},
		{"buy u --seed=-1", "--seed: expected a whole number from 0 on"},
		{"buy u --wait 5", "--wait: expected a duration"},
		{"buy u --wallet gold", `--wallet: must be one of "link", "processor" but got "gold"`},
		{"keys new", "missing flags: --issuer=STRING"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			got, help, err := parse(nil, strings.Fields(tt.args)...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || got != nil || help != "" {
				t.Errorf("%v, %q, %v; want %q", got, help, err, tt.want)
			}
		})
	}
	if _, _, err := parse(map[string]string{"PAUSE": "soon"}, "buy", "u"); err == nil || !strings.Contains(err.Error(), "$PAUSE") {
		t.Errorf("a wrong variable: %v", err)
	}
}

func TestHelp(t *testing.T) {
	const program = `Usage: shop <command>

Sells.

Exit codes: few.

Flags:
  -h, --help    Show context-sensitive help.

Commands:
  buy          Buy it.
  keys new     Make keys.
  keys list    List keys.

Run "shop <command> --help" for more information on a command.
`
	const command = `Usage: shop buy <url> [<note>] [flags]

Buy it.

Arguments:
  <url>       What.
  [<note>]    Why.

Flags:
  -h, --help               Show context-sensitive help.
  -c, --config="x.yaml"    The file.
  -H, --header=HEADER      A field.
      --host=HOST,...      Hosts.
  -y, --yes                Go on.
  -n, --dry-run            Only say it.
      --limit=50           How many.
      --seed=NUMBER        Chance.
      --wait=24h           How long.
      --wallet="link"      Which.
      --link-api=STRING    Origin ($LINK).
  -o, --out=STRING         A file.
      --pause=DURATION     Delay ($PAUSE).
`
	for _, tt := range []struct{ args, want string }{
		{"--help", program},
		{"-h buy", program},
		{"buy --help", command},
		{"buy -yh --nonsense", command},
	} {
		got, help, err := parse(nil, strings.Fields(tt.args)...)
		if err != nil || got != nil {
			t.Errorf("%s: %v, %v", tt.args, got, err)
		}
		if diff := cmp.Diff(tt.want, help); diff != "" {
			t.Errorf("%s: %s", tt.args, diff)
		}
	}
}

func TestHelp_Wraps(t *testing.T) {
	_, help, err := cmdline.Program{Name: "p", Description: strings.Repeat("word ", 40)}.Parse(&struct {
		A struct{} `cmd:"" help:"Some words that together take more than the eighty columns which a terminal has, and so are wrapped."`
	}{}, []string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(help) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("too long: %q", line)
		}
	}
}

func TestParse_TagsThatCannotBe(t *testing.T) {
	for name, root := range map[string]any{
		"no pointer":     tree{},
		"nil":            (*tree)(nil),
		"a float":        &struct{ F float64 }{},
		"a list of ints": &struct{ F []int }{},
		"a flag twice": &struct {
			A, B string `name:"x"`
		}{},
		"a letter twice": &struct {
			A, B string `short:"x"`
		}{},
		"a flag of help": &struct{ Help string }{},
		"a command of it": &struct {
			C string `cmd:""`
		}{},
		"flags beside commands": &struct {
			A string
			C struct{} `cmd:""`
		}{},
	} {
		if _, _, err := (cmdline.Program{Name: "p"}).Parse(root, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// Whatever a value is, it arrives as it was written, in each way to write it,
// and is never taken for something else.
func FuzzParse_Values(f *testing.F) {
	for _, s := range []string{"", "-", "--yes", "a=b", "--", "x,y", "\x00", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, args := range [][]string{
			{"buy", "--link-api=" + s, "--", s},
			{"buy", "--link-api", s, "--", s},
		} {
			got, help, err := parse(nil, args...)
			if err != nil {
				if len(args) > 4 && len(s) > 1 && s[0] == '-' {
					continue // a forgotten value
				}
				t.Fatalf("%q: %v", args, err)
			}
			if b, ok := got.(*buy); !ok || b.LinkAPI != s || b.URL != s || b.Yes || help != "" {
				t.Errorf("%q: %+v, %q", args, got, help)
			}
		}
		// A line of any words gives a command, help or an error, and one of them only.
		got, help, err := parse(nil, strings.Fields(s)...)
		if n := btoi(got != nil) + btoi(help != "") + btoi(err != nil); n != 1 {
			t.Errorf("%q: %v, %q, %v", s, got, help, err)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

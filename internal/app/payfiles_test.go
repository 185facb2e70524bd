package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPayFiles(t *testing.T) {
	t.Parallel()
	const was = "what was there before, and is longer than the answer"
	rows := []struct {
		name         string
		body         bool // the answer's file is there already
		receipt      bool // the receipt's is
		fails        bool
		answer, sold string // "" is a payment that failed
		wantBody     string // "-" is no file
		wantReceipt  string
	}{
		{name: "both new", answer: "report", sold: "a.b.c", wantBody: "report", wantReceipt: "a.b.c\n"},
		{name: "an old answer is replaced", body: true, answer: "report", sold: "a.b.c", wantBody: "report", wantReceipt: "a.b.c\n"},
		{name: "an old receipt is kept", receipt: true, fails: true, wantBody: "-", wantReceipt: was},
		{name: "an old receipt and answer are kept", body: true, receipt: true, fails: true, wantBody: was, wantReceipt: was},
		{name: "nothing bought, nothing left", wantBody: "-", wantReceipt: "-"},
		{name: "nothing bought, the old answer kept", body: true, wantBody: was, wantReceipt: "-"},
		{name: "free, so no receipt", answer: "report", wantBody: "report", wantReceipt: "-"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := payCmd{Output: filepath.Join(dir, "answer"), Receipt: filepath.Join(dir, "receipt")}
			for name, there := range map[string]bool{c.Output: row.body, c.Receipt: row.receipt} {
				if there {
					if err := os.WriteFile(name, []byte(was), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			out, err := c.files()
			if (err != nil) != row.fails {
				t.Fatalf("error %v, want one: %t", err, row.fails)
			}
			if !row.fails {
				if err := use(out, row.answer, row.sold); err != nil {
					t.Fatal(err)
				}
			}
			for name, want := range map[string]string{c.Output: row.wantBody, c.Receipt: row.wantReceipt} {
				got, err := os.ReadFile(name)
				if os.IsNotExist(err) {
					got = []byte("-")
				} else if err != nil {
					t.Fatal(err)
				}
				if string(got) != want {
					t.Errorf("%s holds %q, want %q", filepath.Base(name), got, want)
				}
			}
		})
	}
}

// use does with the files what a payment does.
func use(out files, answer, receipt string) error {
	if answer == "" {
		return out.discard()
	}
	if err := out.write(nil, strings.NewReader(answer)); err != nil {
		return err
	}
	return out.keep(receipt)
}

func TestPayFilesOfNoFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := payCmd{Output: filepath.Join(dir, "none", "answer"), Receipt: filepath.Join(dir, "receipt")}
	if _, err := c.files(); err == nil || !strings.Contains(err.Error(), "--output") {
		t.Errorf("error %v, want one that names --output", err)
	}
	if _, err := os.Stat(c.Receipt); !os.IsNotExist(err) {
		t.Errorf("an empty receipt was left behind: %v", err)
	}
}

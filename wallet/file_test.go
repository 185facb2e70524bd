package wallet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/money"
	"paywall/mpp"
)

var sameAmount = cmp.Comparer(func(a, b money.Amount) bool { return a == b })

func presentation(t testing.TB, n int) Presentation {
	t.Helper()
	c, err := mpp.NewCredential(mpp.Challenge{
		ID: fmt.Sprint("c", n), Realm: "r", Method: "stripe", Intent: "charge", Request: "e30",
	}, []byte(`{"spt":"spt_1"}`))
	if err != nil {
		t.Fatal(err)
	}
	field, err := c.Format()
	if err != nil {
		t.Fatal(err)
	}
	return Presentation{
		ID: fmt.Sprint("id", n), Key: "key", Method: "GET", URL: "https://x/?a=b", Field: "Authorization", Credential: Secret(field),
		Amount: usd(100), Spend: "s", Proof: "spt_1", At: noon.Add(time.Duration(-n) * time.Second),
	}
}

func TestJournals(t *testing.T) {
	dir, err := OpenJournal(filepath.Join(t.TempDir(), "j"))
	if err != nil {
		t.Fatal(err)
	}
	for name, j := range map[string]Journal{"memory": &MemoryJournal{}, "directory": dir} {
		t.Run(name, func(t *testing.T) {
			one, two, other := presentation(t, 1), presentation(t, 2), presentation(t, 3)
			other.Key = "key2"
			for _, p := range []Presentation{one, two, other} {
				if err := j.Put(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Put(t.Context(), one); err == nil {
				t.Error("the same twice is taken")
			}
			got, err := j.Find(t.Context(), "key")
			if err != nil || cmp.Diff([]Presentation{two, one}, got, sameAmount) != "" {
				t.Errorf("oldest first: %v, %v", err, cmp.Diff([]Presentation{two, one}, got, sameAmount))
			}
			for range 2 {
				if err := j.Delete(t.Context(), "key", "id2"); err != nil {
					t.Error(err)
				}
			}
			if got, err := j.List(t.Context()); err != nil || len(got) != 2 || got[0].ID != "id3" {
				t.Errorf("%v, %v", got, err)
			}
			for what, edit := range map[string]func(*Presentation){
				"no credential": func(p *Presentation) { p.Credential = "Bearer x" },
				"path as id":    func(p *Presentation) { p.ID = "../x" },
				"no amount":     func(p *Presentation) { p.Amount = usd(0) },
				"other field":   func(p *Presentation) { p.Field = "Cookie" },
				"no time":       func(p *Presentation) { p.At = time.Time{} },
			} {
				p := presentation(t, 9)
				edit(&p)
				if err := j.Put(t.Context(), p); err == nil {
					t.Errorf("%s is taken", what)
				}
			}
		})
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if data, err := readPrivate(path, 10); data != nil || err != nil {
		t.Errorf("absent: %q, %v", data, err)
	}
	if err := writePrivate(path, []byte("content")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := readPrivate(path, 6); !errors.Is(err, ErrFile) {
		t.Errorf("over the limit: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := readPrivate(path, 10); !errors.Is(err, ErrFile) {
		t.Errorf("readable by a group: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := readPrivate(link, 10); !errors.Is(err, ErrFile) {
		t.Errorf("read through a link: %v", err)
	}
	if err := writePrivate(link, []byte("x")); !errors.Is(err, ErrFile) {
		t.Errorf("write through a link: %v", err)
	}
	if _, err := lockFile(link); err == nil {
		t.Error("lock through a link")
	}
	if _, err := readPrivate(dir, 10); !errors.Is(err, ErrFile) {
		t.Errorf("a directory: %v", err)
	}
	if data, err := readPrivate(path, 10); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".wallet-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(open); !errors.Is(err, ErrFile) {
		t.Errorf("a journal open to others: %v", err)
	}
}

// A damaged file is an error, never an empty one: it would allow what was spent.
func TestDamagedFiles(t *testing.T) {
	good, err := encodeLedger([]Spend{{"a", "h", usd(1), noon}, {"b", "h", usd(2), noon}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"empty": "", "cut": string(good[:len(good)/2]), "more": string(good) + "{}", "other version": strings.Replace(string(good), "1", "2", 1),
		"unknown member": strings.Replace(string(good), `"host"`, `"hose"`, 1), "twice": strings.Replace(string(good), `"b"`, `"a"`, 1),
		"negative": strings.Replace(string(good), `"units": 2`, `"units": -2`, 1), "fraction": strings.Replace(string(good), `"units": 2`, `"units": 0.2`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l")
			l, err := OpenLedger(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLedger(path); !errors.Is(err, ErrFile) {
				t.Errorf("open: %v", err)
			}
			if err := l.Reserve(t.Context(), Spend{"x", "h", usd(1), noon}, nil); !errors.Is(err, ErrFile) {
				t.Errorf("reserve: %v", err)
			}
		})
	}
	t.Run("journal", func(t *testing.T) {
		dir := t.TempDir() + "/j"
		j, err := OpenJournal(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Put(t.Context(), presentation(t, 1)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/key.id1.json", dir+"/key.id2.json"); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Find(t.Context(), "key"); !errors.Is(err, ErrFile) {
			t.Errorf("renamed: %v", err)
		}
		r := newRig(t, func(r *rig, c *Config) { c.Journal = j })
		req := newRequest(t, shopURL)
		key, err := newReplay(req, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+key.key+".x.json", []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.get(t, shopURL); !errors.Is(err, ErrFile) || r.purse.proofs() != 0 {
			t.Errorf("a request whose journal cannot be read: %v, %d proofs", err, r.purse.proofs())
		}
	})
}

// Two ledgers of one file, as two processes have them, do not both spend the rest.
func TestLedgerFileIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	caps := []Cap{{Limit: LimitDay, Since: noon.Add(-day), Max: usd(10)}}
	var wg sync.WaitGroup
	var allowed atomic.Int32
	for i := range 4 {
		l, err := OpenLedger(path)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for k := range 10 {
				err := l.Reserve(t.Context(), Spend{fmt.Sprint(i, "-", k), "h", usd(1), noon}, caps)
				if err == nil {
					allowed.Add(1)
				} else if !errors.Is(err, ErrPolicy) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Spends(t.Context(), time.Time{}); err != nil || len(got) != 10 || allowed.Load() != 10 {
		t.Errorf("%d spent of %d allowed, %v; want 10", len(got), allowed.Load(), err)
	}
}

func TestTokenFile(t *testing.T) {
	f := NewFileTokens(filepath.Join(t.TempDir(), "t"))
	if got, err := f.Load(t.Context()); got != (Tokens{}) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	want := Tokens{Access: "a", Refresh: "r", Expires: noon}
	if err := f.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(t.Context()); got != want || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for range 2 {
		if err := f.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

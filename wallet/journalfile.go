package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxJournalFile = 64 << 10
	journalSuffix  = ".json"
)

// DirJournal is a [Journal] of one file per presentation, mode 0600, in a
// directory that is the owner's alone. Any number of processes may share it; two
// that find the same presentation both present it, which pays once.
type DirJournal struct{ dir string }

// OpenJournal makes the directory with mode 0700 if it is not there. One that
// others may use is [ErrFile].
func OpenJournal(dir string) (*DirJournal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if !info.IsDir() || modes && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("journal: %w: %s is no directory of mode 0700", ErrFile, dir)
	}
	return &DirJournal{dir}, nil
}

type journalLine struct {
	Version    int        `json:"version"`
	ID         string     `json:"id"`
	Key        string     `json:"key"`
	Method     string     `json:"method"`
	URL        string     `json:"url"`
	Field      string     `json:"field"`
	Credential string     `json:"credential"`
	Amount     amountLine `json:"amount"`
	Spend      string     `json:"spend"`
	Proof      string     `json:"proof"`
	At         time.Time  `json:"at"`
	Declined   bool       `json:"declined,omitempty"`
}

func encodePresentation(p *Presentation) ([]byte, error) {
	data, err := json.Marshal(journalLine{
		1, p.ID, p.Key, p.Method, p.URL, p.Field, p.Credential.Reveal(), lineOf(p.Amount), p.Spend, p.Proof.Reveal(), p.At.UTC(), p.Declined,
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return append(data, '\n'), nil
}

func decodePresentation(data []byte) (Presentation, error) {
	var l journalLine
	if err := decodeFile(data, &l); err != nil {
		return Presentation{}, err
	}
	if l.Version != 1 {
		return Presentation{}, fmt.Errorf("%w: version %d, want 1", ErrFile, l.Version)
	}
	a, err := l.Amount.amount()
	if err != nil {
		return Presentation{}, err
	}
	p := Presentation{
		ID: l.ID, Key: l.Key, Method: l.Method, URL: l.URL, Field: l.Field, Credential: Secret(l.Credential),
		Amount: a, Spend: l.Spend, Proof: Secret(l.Proof), At: l.At.UTC(), Declined: l.Declined,
	}
	if err := p.check(); err != nil {
		return Presentation{}, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return p, nil
}

// path cannot leave the directory: both parts are base64url.
func (j *DirJournal) path(key, id string) (string, error) {
	if !isName(key) || !isName(id) {
		return "", errors.New("journal: not the name of a presentation")
	}
	return filepath.Join(j.dir, key+"."+id+journalSuffix), nil
}

// Put implements [Journal].
func (j *DirJournal) Put(_ context.Context, p Presentation) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	path, err := j.path(p.Key, p.ID)
	if err != nil {
		return err
	}
	data, err := encodePresentation(&p)
	if err != nil {
		return err
	}
	if len(data) > maxJournalFile {
		return fmt.Errorf("journal: a presentation of %d bytes", len(data))
	}
	if _, err := os.Lstat(path); err == nil {
		return errors.New("journal: presentation is there already")
	}
	if err := writePrivate(path, data); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Find implements [Journal].
func (j *DirJournal) Find(_ context.Context, key string) ([]Presentation, error) {
	if !isName(key) {
		return nil, errors.New("journal: not the key of a request")
	}
	return j.read(key + ".")
}

// List implements [Journal].
func (j *DirJournal) List(context.Context) ([]Presentation, error) { return j.read("") }

// read fails on one damaged file: what it says was presented must not be paid again
// because it cannot be read.
func (j *DirJournal) read(prefix string) ([]Presentation, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []Presentation
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, journalSuffix) {
			continue
		}
		data, err := readPrivate(filepath.Join(j.dir, name), maxJournalFile)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if data == nil {
			continue // answered meanwhile, by another process
		}
		p, err := decodePresentation(data)
		if err == nil && name != p.Key+"."+p.ID+journalSuffix {
			err = fmt.Errorf("%w: renamed", ErrFile)
		}
		if err != nil {
			return nil, fmt.Errorf("journal %s: %w", name, err)
		}
		out = append(out, p)
	}
	return oldestFirst(out), nil
}

// Delete implements [Journal].
func (j *DirJournal) Delete(_ context.Context, key, id string) error {
	path, err := j.path(key, id)
	if err != nil {
		return err
	}
	if err := removePrivate(path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

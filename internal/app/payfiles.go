package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// files are where an answer and its receipt go. They are opened before anything
// is paid: what was bought must not be lost because a name was wrong.
type files struct {
	body, receipt *os.File // nil where none is asked for
	fresh         bool     // body was not there before
}

func (c *payCmd) files() (files, error) {
	var out files
	var err error
	if out.receipt, err = receiptFile(c.Receipt); err != nil {
		return files{}, err
	}
	if c.Output != "" && !c.JSON {
		_, err = os.Lstat(c.Output)
		out.fresh = errors.Is(err, fs.ErrNotExist)
		out.body, err = os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return files{}, errors.Join(fmt.Errorf("--output: %w", err), out.discard())
		}
	}
	return out, nil
}

// receiptFile makes the file of a receipt; nil where none is asked for.
func receiptFile(path string) (*os.File, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file is a good answer
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("--receipt: %s is there already; name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--receipt: %w", err)
	}
	return f, nil
}

// discard leaves things as they were before.
func (f files) discard() error {
	var err error
	if f.receipt != nil {
		err = errors.Join(f.receipt.Close(), os.Remove(f.receipt.Name()))
	}
	if f.body != nil {
		err = errors.Join(err, f.body.Close())
		if f.fresh {
			err = errors.Join(err, os.Remove(f.body.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("remove an empty file: %w", err)
	}
	return nil
}

// write copies the answer to its file, or to stdout if it has none.
func (f files) write(stdout io.Writer, answer io.Reader) error {
	out := stdout
	if f.body != nil {
		if info, err := f.body.Stat(); err == nil && info.Mode().IsRegular() {
			if err := f.body.Truncate(0); err != nil {
				return fmt.Errorf("write the answer: %w", err)
			}
		}
		out = f.body
	}
	if _, err := io.Copy(out, answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// keep writes the receipt, if there is one, and closes the files.
func (f files) keep(receipt string) error {
	var err error
	if f.receipt != nil && receipt == "" {
		err = errors.Join(f.receipt.Close(), os.Remove(f.receipt.Name()))
	} else if f.receipt != nil {
		_, err = f.receipt.WriteString(receipt + "\n")
		err = errors.Join(err, f.receipt.Sync(), f.receipt.Close())
	}
	if f.body != nil {
		err = errors.Join(err, f.body.Close())
	}
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	return nil
}

package wallet

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// watched tells once how reading a body ended: whole when it was read to its end or
// closed without a failure, not whole when it broke off.
type watched struct {
	body io.ReadCloser
	done func(whole bool) error

	once sync.Once
	err  error // of done; written before once ends
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.body.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		w.end(true)
	case err != nil:
		w.end(false)
	}
	return n, err //nolint:wrapcheck // a reader's errors pass as they are
}

// Close also reports that the journal could not let go.
func (w *watched) Close() error {
	err := w.body.Close()
	w.end(err == nil)
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return w.err
}

func (w *watched) end(whole bool) {
	w.once.Do(func() { w.err = w.done(whole) })
}

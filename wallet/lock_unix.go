//go:build unix

package wallet

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// modes says that permission bits mean something.
const modes = true

// noFollow makes opening a symbolic link fail.
const noFollow = unix.O_NOFOLLOW

// lockFile waits for path and holds it until it is closed or the process ends,
// however it ends. Holders only read and write one small file, so the wait is short.
// The lock file stays: removing it would let two processes lock two files of one name.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

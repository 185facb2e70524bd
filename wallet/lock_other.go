//go:build !unix

package wallet

import (
	"errors"
	"fmt"
	"io"
)

// modes says that permission bits mean something.
const modes = false

// noFollow is nothing where links cannot be told apart in opening.
const noFollow = 0

// lockFile refuses: without a lock that dies with the process, two of them could
// both spend what is left.
func lockFile(path string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}

//go:build !unix

package sqlstore

import (
	"errors"
	"fmt"
	"io"
)

// lockFile refuses: without a lock that dies with the process, two of them could
// write one ledger.
func lockFile(path string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}

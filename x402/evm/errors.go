package evm

import "errors"

// Errors of this package; test with [errors.Is]. They never quote the input: it
// may be a key, or a signature that is as good as money.
var (
	ErrAddress   = errors.New("not an address")
	ErrChecksum  = errors.New("address with a wrong checksum")
	ErrHash      = errors.New("not a hash of 32 bytes")
	ErrNumber    = errors.New("not a whole number of at most 256 bits")
	ErrSignature = errors.New("not a signature that a chain takes")
	ErrKey       = errors.New("not a private key")
	ErrNetwork   = errors.New("not a network of the form eip155:N")
)

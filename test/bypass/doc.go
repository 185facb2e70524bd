// Package bypass tries to get priced resources without their price: tens of
// thousands of spellings of requests, sent as raw bytes through a gate to
// upstreams that read more into a request than is there.
package bypass

// Package config reads paywall.yaml strictly and checks it.
//
// A thing has two types: one as it is read, with the key, default and bounds of
// each field in its tags, and one as it was found good, in [Config]. What cannot
// be read in exactly one way is refused: unknown and repeated keys, anchors and
// aliases, tags, several documents. All problems of a file are reported at once,
// each with its line and what to do; none quotes a secret.
//
// docs/configuration.md is made from the types by go generate.
package config

//go:generate go test -count=1 -run ^TestReference$ . -update

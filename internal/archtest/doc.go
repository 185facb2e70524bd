// Package archtest holds the house to its plan: who may import whom, which
// library lives where, and the few shapes of code that are not wanted anywhere.
//
// The rules are data at the top of rules.go. The tests parse the source files
// themselves: asking the go command for the import graph would leave out files
// behind build tags, and its answer may come from a cache.
package archtest

// Package interop drives payment clients of other makers against the built
// binary: the mppx library, its command line and its validator, and the
// processor's own SDK and schema check. Nothing leaves the machine: the sandbox
// stands in for the processor.
//
// The clients come from package-lock.json by npm ci. Without Node the tests are
// skipped with a notice, or fail where CI is set.
package interop

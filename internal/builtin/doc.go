// Package builtin lists what the command knows: payment methods, pricing rules
// and protocols, each with the line that makes it from configuration. A new one
// is a folder of its own and a line here. Library users never meet this package.
package builtin

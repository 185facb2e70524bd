// Package cmdline reads a command line into structs that describe it by tags.
//
// It is ours because of what the libraries for this cost: they find what to run
// by the name of a method, and a program that does so anywhere keeps every method
// of every type it was linked with. That was seven megabytes of the binary.
// This one finds fields by reflection and methods by interfaces.
//
// A field with `cmd` is a command and has a struct of its own: of commands when
// it has fields with `cmd`, of flags and arguments otherwise. Its name is that of
// the field in kebab case, as are those of flags. Fields of embedded structs count
// as the struct's own. The other tags are
//
//	help      a sentence for people
//	arg       an argument by position, required unless it has `optional`
//	name      another name
//	short     a letter for a flag
//	default   the value of a flag that is not given
//	env       a variable that gives a flag's value, before the default
//	required  the flag must be given
//	enum      the values there are, with commas between
//	type      "path" expands ~ and makes the value absolute
//	sep       "none" keeps commas in the values of a list
//
// Flags are strings, integers, durations, booleans, and lists of strings.
package cmdline

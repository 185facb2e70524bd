// Command paywall lets an HTTP API be paid by software agents. See paywall --help.
package main

import (
	"os"

	"paywall/internal/app"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(app.Main(app.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Version: version,
	}))
}

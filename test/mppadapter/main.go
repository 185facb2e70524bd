// Command mppadapter answers one request of the shared MPP conformance suite:
// JSON on standard input, JSON on standard output.
package main

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

func main() {
	now := time.Now // the suite runs on the wall clock
	in, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	if err != nil {
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer(in, now())); err != nil {
		os.Exit(1)
	}
}

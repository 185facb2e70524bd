package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a piece of documentation that is run.
type block struct {
	line int // of its first command
	text string
}

// blocks returns the fenced blocks of a page that are marked "sh run".
func blocks(page string) []block {
	var all []block
	var open *block
	skip := false
	for i, line := range strings.Split(page, "\n") {
		mark, fenced := strings.CutPrefix(line, "```")
		switch {
		case fenced && mark == "" && open != nil:
			all, open = append(all, *open), nil
		case fenced && mark == "" && skip:
			skip = false
		case open != nil:
			open.text += line + "\n"
		case skip:
		case fenced && strings.TrimSpace(mark) == "sh run":
			open = &block{line: i + 2}
		case fenced:
			skip = true
		}
	}
	return all
}

// TestBlocks shows that what is marked is found, and nothing else.
func TestBlocks(t *testing.T) {
	t.Parallel()
	page := "text\n```sh\nrm -rf x\n```\n```sh run\none\ntwo\n```\n```yaml\n```sh run\nfour\n```\n```sh run\nthree\n```\n"
	got := fmt.Sprint(blocks(page))
	if want := fmt.Sprint([]block{{6, "one\ntwo\n"}, {14, "three\n"}}); got != want {
		t.Errorf("the blocks are %s, want %s", got, want)
	}
}

// TestDocumentedCommands runs the marked blocks of each page in order, in one
// shell and an empty folder, with the built binary on the PATH. They use the ports
// that the pages name, so that this test is not run beside others.
func TestDocumentedCommands(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "README.md")); err == nil {
		pages = append(pages, filepath.Join(root, "README.md"))
	} else {
		t.Log("notice: there is no README.md, so none is run")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("notice: bash is missing")
	}
	ran := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		marked := blocks(string(text))
		if len(marked) == 0 {
			continue
		}
		ran += len(marked)
		t.Run(filepath.Base(page), func(t *testing.T) { runBlocks(t, page, marked) })
	}
	if ran == 0 {
		t.Error("no page has a block that is run")
	}
}

func runBlocks(t *testing.T, page string, marked []block) {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, b := range marked {
		fmt.Fprintf(&script, "echo '### %s:%d' >&2\n%s", filepath.Base(page), b.line, b.text)
	}
	await(t, "the ports 4020 to 4023 are free; stop what has them", time.Minute, func() bool {
		for port := 4020; port <= 4023; port++ {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				return false
			}
			l.Close()
		}
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir, cmd.Env = dir, environment(dir)
	// What a page leaves running is its own group, and ends with the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Errorf("%v; the last line with ### says where:\n%s", err, tail(out.String(), 6000))
	}
}

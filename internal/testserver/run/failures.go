//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const (
	saidOfEach = 10  // lines that a test which failed printed
	saidOfAll  = 400 // lines, of all that failed
	saidALine  = 400 // bytes
)

// whatFails finds what go test prints of a test or a package that failed.
var whatFails = regexp.MustCompile(`^\s*--- FAIL: |^FAIL\t|^panic: |^WARNING: DATA RACE`)

// failures passes on what go test prints, and keeps what it says of tests that failed.
type failures struct {
	to   io.Writer
	line []byte   // that has not ended
	said []string // lines
	more int      // lines of the test whose failure was printed last, that are kept if they come now
}

func (f *failures) Write(p []byte) (int, error) {
	for rest := p; ; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		f.line = append(f.line, line[:min(len(line), saidALine-min(len(f.line), saidALine))]...)
		if !ended {
			break
		}
		f.keep(string(f.line))
		f.line, rest = f.line[:0], after
	}
	return f.to.Write(p)
}

func (f *failures) keep(line string) {
	switch {
	case whatFails.MatchString(line):
		f.more = saidOfEach
	case f.more > 0 && strings.HasPrefix(line, "    "):
		f.more--
	default:
		f.more = 0
		return
	}
	if len(f.said) < saidOfAll {
		f.said = append(f.said, strings.ToValidUTF8(line, "?"))
	}
}

// repeat prints them again: a long run has printed much since.
func (f *failures) repeat() {
	if len(f.said) > 0 {
		_, _ = fmt.Fprintf(f.to, "\nwhat failed:\n%s\n", strings.Join(f.said, "\n"))
	}
}

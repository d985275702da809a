package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// newBar returns a bar that is drawn on a terminal.
func newBar(w io.Writer, total int64, unit, text string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(15), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
		progressbar.OptionSetPredictTime(true), progressbar.OptionUseANSICodes(true), progressbar.OptionSetDescription(text))
}

// gauge says on a terminal how far something is that takes long: a bar if it is known how much there is, or else a line with a count. Elsewhere,
// and with --json, it says nothing. Its methods may be called by many goroutines at once.
type gauge struct {
	w          io.Writer // nil: nobody looks
	text, unit string

	mu    sync.Mutex // guards what follows
	bar   *progressbar.ProgressBar
	n     int64
	total int64 // 0: not known
	drawn time.Time
}

// gaugeRest is the time between two drawings of a line.
const gaugeRest = 100 * time.Millisecond

// gauge begins to say how far a command is, in such units. Call end before the result is written.
func (p *program) gauge(cmd *cobra.Command, text, unit string, total int64) *gauge {
	g := &gauge{text: text, unit: unit}
	if w, ok := terminal(cmd.ErrOrStderr()); ok && !p.json {
		g.w = w
	}
	g.set(0, total)
	return g
}

// add says that n more are done.
func (g *gauge) add(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	g.draw()
}

// set says how many of all are done.
func (g *gauge) set(n, total int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n, g.total = n, total
	g.draw()
}

// draw shows the present state. The caller holds the lock.
func (g *gauge) draw() {
	switch {
	case g.w == nil:
	case g.total > 0:
		if g.bar == nil {
			g.bar = newBar(g.w, g.total, g.unit, g.text)
		}
		if g.bar.GetMax64() != g.total {
			g.bar.ChangeMax64(g.total)
		}
		_ = g.bar.Set64(min(g.n, g.total))
	case time.Since(g.drawn) >= gaugeRest:
		g.drawn = time.Now()
		fmt.Fprintf(g.w, "\r\x1b[2K%s: %d %s", g.text, g.n, g.unit)
	}
}

// clear takes away what is drawn. The caller holds the lock.
func (g *gauge) clear() {
	if g.w != nil {
		fmt.Fprint(g.w, "\r\x1b[2K")
	}
}

// around calls what writes lines of its own.
func (g *gauge) around(write func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clear()
	err := write()
	g.drawn = time.Time{}
	g.draw()
	return err
}

// end takes away what is drawn, for what the command writes next.
func (g *gauge) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bar != nil {
		_ = g.bar.Exit()
	}
	g.clear()
	g.w = nil
}

// lineCounter counts the lines that are written.
type lineCounter struct {
	w io.Writer
	g *gauge
}

func (l *lineCounter) Write(b []byte) (int, error) {
	n, err := l.w.Write(b)
	l.g.add(int64(bytes.Count(b[:n], []byte("\n"))))
	return n, err
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// width is the number of columns to write for on a terminal that does not say how many it has.
const width = 80

// terminal returns the file behind a writer or reader if it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) // a file's number
}

// columns returns how many columns there are to write to. A pipe or a file has no end: what is searched there is whole.
func columns(w io.Writer) int {
	f, ok := terminal(w)
	if !ok {
		return math.MaxInt
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 20 { // a file's number
		return n
	}
	return width
}

// writeJSON writes a value as a line, without what may be secret: see [program.shownValue].
func (p *program) writeJSON(cmd *cobra.Command, v any) error {
	return json.NewEncoder(cmd.OutOrStdout()).Encode(p.shownValue(v))
}

// table writes rows in columns. On a terminal the last column is cut so that a line fits, or
// wrapped to up to lines lines.
type table struct {
	w     io.Writer
	rows  [][]string
	lines int
}

func newTable(w io.Writer, head ...string) *table { return &table{w, [][]string{head}, 1} }

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = harmless(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// harmless returns a text without what a terminal would carry out: names and errors come from tenants.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '\ufffd'
		}
		return r
	}, s)
}

// sort puts the rows in order of the first column.
func (t *table) sort() {
	slices.SortFunc(t.rows[1:], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
}

func (t *table) flush() error {
	last := len(t.rows[0]) - 1
	widths, used := make([]int, last), 0
	for i := range widths {
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		used += widths[i] + 2
	}
	least := 20
	if t.lines > 1 { // nothing is lost in a narrow column
		least = 12
	}
	room := max(least, columns(t.w)-used)
	for _, row := range t.rows {
		line := ""
		for i, width := range widths {
			line += fmt.Sprintf("%-*s  ", width, row[i])
		}
		for i, text := range wrap(row[last], room, t.lines) {
			if i > 0 {
				line = strings.Repeat(" ", used)
			}
			if _, err := fmt.Fprintln(t.w, strings.TrimRight(line+text, " ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// wrap divides a text into at most that many lines of at most width characters, between
// words where that can be. What does not fit is cut.
func wrap(text string, width, lines int) (out []string) {
	rest := []rune(strings.Join(strings.Fields(text), " "))
	for len(rest) > width && len(out) < lines-1 {
		i := width
		for i > width/2 && rest[i] != ' ' {
			i--
		}
		if rest[i] != ' ' {
			i = width
		}
		out = append(out, string(rest[:i]))
		rest = []rune(strings.TrimLeft(string(rest[i:]), " "))
	}
	if len(rest) > width {
		rest = append(rest[:width-1], '…')
	}
	return append(out, string(rest))
}

// pairs writes names and values below each other, leaving out those without a value.
func pairs(w io.Writer, all ...string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i < len(all); i += 2 {
		if all[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(tw, "%s\t%s\n", all[i], harmless(all[i+1])); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// minute is date without seconds.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// lasting returns a time without units that are zero: 1h30m and not 1h30m0s.
func lasting(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// tenants says how many there are.
func tenants(n int) string { return counted(n, "tenant", "tenants") }

// counted is a number with the word for one or for several.
func counted[N int | int64](n N, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// confirm asks a question that wants a yes; with a word, that word. It is not asked
// with --yes, and cannot be answered without a terminal.
func (p *program) confirm(cmd *cobra.Command, question, word string) error {
	if p.yes {
		return nil
	}
	if _, ok := terminal(cmd.InOrStdin()); !ok {
		return usage(fmt.Errorf("%s Give --yes where nobody can answer", question))
	}
	hint := "[y/N]"
	if word != "" {
		hint = fmt.Sprintf("Type %q to go on:", word)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s ", question, hint)
	line, err := p.readLine(cmd)
	if err != nil {
		return err
	}
	if word != "" && line == word || word == "" && (strings.EqualFold(line, "y") || strings.EqualFold(line, "yes")) {
		return nil
	}
	return usage(fmt.Errorf("nothing was done"))
}

// say writes a sentence for people; with --json it writes nothing.
func (p *program) say(cmd *cobra.Command, format string, args ...any) error {
	if p.json {
		return nil
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), harmless(fmt.Sprintf(format, args...)))
	return err
}

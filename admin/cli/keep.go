package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// keeping keeps the last results of commands that take long, as files of the user's: JSON
// lines, of which the first says when and of what. Each catalog has results of its own.
type keeping struct {
	p       *program
	folder  string // empty: one in the user's cache folder
	refresh bool
	maxAge  time.Duration
}

// keptFor is how long a result is shown again.
const keptFor = 10 * time.Minute

// maxKept is how many bytes of a result are kept. A longer one is not kept.
const maxKept = 64 << 20

func (k *keeping) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&k.refresh, "refresh", false, "look again, even if there is a result that is not old")
	cmd.Flags().DurationVar(&k.maxAge, "max-age", keptFor, "show the last result again for so long; 0 is not at all")
}

// keptHead is the first line of a file.
type keptHead struct {
	At time.Time `json:"at"`
	Of string    `json:"of"`
}

// place returns the folder with the results.
func (k *keeping) place(cmd *cobra.Command) (string, error) {
	if k.folder != "" {
		return k.folder, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, cmd.Root().Name()), err
}

// file returns the file for a command with what it was asked.
func (k *keeping) file(cmd *cobra.Command, of string) (string, error) {
	folder, err := k.place(cmd)
	if err != nil {
		return "", err
	}
	namespace, err := k.p.app.Catalog.Namespace(cmd.Context())
	if err != nil {
		return "", err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(namespace + "\x00" + of))
	return filepath.Join(folder, fmt.Sprintf("%s-%s-%016x.jsonl", cmd.Parent().Name(), cmd.Name(), sum.Sum64())), nil
}

// last returns the lines of the last result, and when it was made. Without one that is
// young enough, and whole, ok is false.
func (k *keeping) last(cmd *cobra.Command, of string) (lines [][]byte, at time.Time, ok bool) {
	if k.refresh || k.maxAge <= 0 {
		return nil, at, false
	}
	file, err := k.file(cmd, of)
	if err != nil {
		return nil, at, false
	}
	data, err := os.ReadFile(file) // the user's own
	if err != nil {
		return nil, at, false
	}
	all := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	var head keptHead
	if json.Unmarshal(all[0], &head) != nil || head.Of != of {
		return nil, at, false
	}
	if age := time.Since(head.At); age < 0 || age > k.maxAge {
		return nil, at, false
	}
	return all[1:], head.At, true
}

// keep keeps the lines of a result in place of the last. A result that cannot be kept is
// not: the next command looks again.
func (k *keeping) keep(cmd *cobra.Command, of string, lines iter.Seq[any]) {
	file, err := k.file(cmd, of)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err != nil {
		return
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".result-*")
	if err != nil {
		return
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	w := bufio.NewWriter(temp)
	out := json.NewEncoder(&limitedWriter{w, maxKept})
	err = out.Encode(keptHead{time.Now().UTC(), of})
	for line := range lines {
		err = errors.Join(err, out.Encode(line))
	}
	if err = errors.Join(err, w.Flush(), temp.Close()); err == nil {
		_ = os.Rename(temp.Name(), file)
	}
}

// forget removes the results of a command, however it was asked: they are not true any
// more. It asks no database, so it works after an interrupt as well.
func (k *keeping) forget(cmd *cobra.Command, command string) {
	folder, err := k.place(cmd)
	if err != nil {
		return
	}
	old, _ := filepath.Glob(filepath.Join(folder, command+"-*.jsonl"))
	for _, name := range old {
		_ = os.Remove(name)
	}
}

// limitedWriter refuses to write more than so many bytes.
type limitedWriter struct {
	w    *bufio.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errors.New("the result is too long to be kept")
	}
	return l.w.Write(b)
}

// sayAge says how old a result is that was kept.
func (k *keeping) sayAge(cmd *cobra.Command, at time.Time) {
	if !k.p.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "From %s, %v ago; --refresh looks again.\n", date(at), time.Since(at).Round(time.Second))
	}
}

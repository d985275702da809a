package cli

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// again returns how this program is called once more on the same data: its name, and those of the flags of all commands that were given, such
// as the folder with SQLite's files. It is for commands that people copy. A URL that has a password, or may have one, is
// left out: a screen is no place for it.
func again(cmd *cobra.Command) string {
	out := cmd.Root().Name()
	cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Changed || f.Name == "json" || f.Name == "yes" {
			return
		}
		value := quoted(f.Value.String())
		if at, err := url.Parse(f.Value.String()); err == nil && at.Host != "" {
			if _, has := at.User.Password(); has || at.RawQuery != "" {
				value = "…"
			}
		}
		out += " --" + f.Name + "=" + value
	})
	return out
}

// quoted returns a text as a shell's word.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=~", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

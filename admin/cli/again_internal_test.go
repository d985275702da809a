package cli

import (
	"testing"

	"github.com/spf13/cobra"
)

func TestAgain(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "notes"}
	f := root.PersistentFlags()
	f.Bool("json", false, "")
	f.Bool("yes", false, "")
	for _, name := range []string{"data", "catalog", "server", "unset"} {
		f.String(name, "", "")
	}
	sub := &cobra.Command{Use: "run", Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub)
	root.SetArgs([]string{"run", "--yes", "--data", "it's here", "--catalog", "postgres://ada:secret@db/c", "--server=mysql://root@127.0.0.1:3306/"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	want := `notes --catalog=… --data='it'\''s here' --server=mysql://root@127.0.0.1:3306/`
	if got := again(sub); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

// Client returns the command that opens a tenant's database in the engine's own client.
// The address is the URL of its server, postgres://… for psql and mysql://… for mysql, or a
// file, for sqlite3. A password goes into the command's environment, and never into
// its arguments, which others on the machine can read.
func Client(address string, t *tenancy.Tenant) (*exec.Cmd, error) {
	if err := tenancy.ValidateDatabaseName(t.Placement.Database); err != nil {
		return nil, err
	}
	engine, _, isURL := strings.Cut(address, "://")
	if !isURL {
		return exec.Command("sqlite3", address), nil // the application's own
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: the server's address is no URL with a host", tenancy.ErrInvalid) // err shows it
	}
	user, variable := u.User.Username(), "PGPASSWORD="
	password, has := u.User.Password()
	var cmd *exec.Cmd
	switch engine {
	case "postgres", "postgresql":
		u.Path = "/" + t.Placement.Database
		if u.User = nil; user != "" {
			u.User = url.User(user)
		}
		query := u.Query()
		if p := query.Get("password"); p != "" {
			password, has = p, true
		}
		query.Del("password")
		u.RawQuery = query.Encode()
		cmd = exec.Command("psql", u.String()) // the application's own
	case "mysql":
		variable = "MYSQL_PWD="
		args := []string{"--protocol=tcp", "--host=" + u.Hostname()}
		if u.Port() != "" {
			args = append(args, "--port="+u.Port())
		}
		if user != "" {
			args = append(args, "--user="+user)
		}
		cmd = exec.Command("mysql", append(args, "--database="+t.Placement.Database)...) // the application's own
	default:
		return nil, fmt.Errorf("%w: an address that begins with %.20q, want postgres:// or mysql://", tenancy.ErrInvalid, engine)
	}
	if has {
		cmd.Env = append(os.Environ(), variable+password)
	}
	return cmd, nil
}

func (p *program) dbShell() *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use: "shell <tenant>", Short: "Open a tenant's database in the engine's own client",
		Long: `Open a tenant's database in the engine's own client: psql, mysql or sqlite3, which must be
installed. A password goes into the client's environment, not into its arguments. What
is done there has no entry in the audit. --print only shows the command.`,
		Example: "  tenantctl db shell acme\n  tenantctl db shell acme --print",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Shell != nil, "client for databases"); err != nil {
				return err
			}
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			client, err := p.app.Shell(t)
			if err != nil {
				return err
			}
			if show {
				quoted := make([]string, len(client.Args))
				for i, arg := range client.Args {
					quoted[i] = shellQuote(arg)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(quoted, " "))
				return err
			}
			client.Stdin, client.Stdout, client.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = client.Run()
			var ended *exec.ExitError
			switch {
			case errors.As(err, &ended):
				return &quietError{err}
			case errors.Is(err, exec.ErrNotFound):
				return usage(fmt.Errorf("%s is not installed", client.Args[0]))
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&show, "print", false, "show the command, without a password, and do nothing")
	return cmd
}

// shellQuote returns a word as a shell wants it.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

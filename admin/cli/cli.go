// Package cli is a command line for operators: tenants, their schemas, and runs over
// many of them.
//
//	command := cli.New(open, &cli.Options{Name: "tenantctl"})
//	os.Exit(cli.Main(command))
//
// The application passes a function that opens what it has wired, as an [App]; it is
// called once, when a command needs it. docs/commands.md shows a whole program and
// describes every command; examples/tenantctl is an example of one.
//
// # Output
//
// On a terminal there are progress bars and questions. Elsewhere there are plain lines and
// nothing is asked. There, commands that are hard to take back, such as tenant archive, tenant
// purge and db rollback, those that close the whole service, and doctor --mend fail unless --yes is
// given; other commands over many tenants run without a question. With --json there are JSON
// lines only, and those other commands ask nothing on a terminal either. Results go to the
// standard output; progress, questions and errors go to the standard error.
//
// # Exit codes
//
//	0  done
//	1  some tenants failed, or the command did
//	2  bad usage: an unknown command or flag, a malformed value, a name that is not there
//	3  the database or a server could not be reached
package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// Lifecycle makes and ends tenants with their databases. A *lifecycle.Lifecycle is one.
type Lifecycle interface {
	Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error)
	Restore(ctx context.Context, id tenancy.ID) error
	Purge(ctx context.Context, id tenancy.ID) error
	PurgeNow(ctx context.Context, id tenancy.ID) error
}

// App is what the application has wired. Commands that need something that is nil say
// so and fail.
type App struct {
	Catalog   *catalog.Catalog
	Lifecycle Lifecycle
	// Runner does the work of commands over many tenants. A command whose task it
	// does not have fails.
	Runner   *runs.Runner
	Migrator *migrate.Migrator
	Keys     *catalog.KeyIssuer
	Gate     *maintenance.Gate
	Audit    *audit.Trail
	// Operators are those of the console, whose owners "rescue" lets in. An *auth.Auth is one.
	// With the methods of [Operators] it serves "operator", too.
	Operators Rescuer
	// Outbox has the events of "event stuck" and "event skip". Its Run need not be called.
	Outbox *catalog.Outbox
	// Reports are those of "usage" and of the tenants in "health".
	Reports *analytics.Reports
	// Checks are parts of the service that "health" checks, by name, beside those above. Each is given a few seconds.
	Checks map[string]func(context.Context) error
	// ShownSettings are the settings of tenants whose values commands show; all others are names alone, because they may be secrets.
	// "homepage" is always shown. Default: none.
	ShownSettings []string
	// Shell returns the command that opens a tenant's database for "db shell": see [Client].
	// Default: there is no such command.
	Shell func(t *tenancy.Tenant) (*exec.Cmd, error)
	// Close is called when the command has ended. Default: nothing.
	Close func() error
}

// Tasks that commands use, by their name in [runs.Options.Tasks], beside those of
// maintenance.Tasks.
const (
	TaskMigrate        = "migrate"         // migrate.Migrator.Task
	TaskRollback       = "rollback"        // migrate.Migrator.RollbackTask
	TaskSeed           = "seed"            // maintenance.SeedTask
	TaskUpdate         = "update"          // maintenance.UpdateTask
	TaskRevokeKeys     = "revoke-keys"     // catalog.KeyIssuer.RevokeTask, for "run plan"
	TaskMaintenanceOn  = "maintenance-on"  // maintenance.Gate.BeginTask
	TaskMaintenanceOff = "maintenance-off" // maintenance.Gate.EndTask
)

// Options are the options of [New].
type Options struct {
	// Name is the program's name. Default: that of the running program.
	Name string
	// Results is the folder in which "db status", "audit verify" and "doctor" keep their last
	// results. Default: one in the user's cache folder.
	Results string
}

// Exit codes. See the package comment.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// program is what all commands share.
type program struct {
	open func(context.Context) (*App, error)
	app  *App
	json bool
	yes  bool

	reason  string        // of the change that the command makes
	input   *bufio.Reader // of the standard input, once something was asked
	secrets bool          // values of settings are shown
	keep    keeping
}

// New returns the command line. open may be called once, with the command's context.
func New(open func(ctx context.Context) (*App, error), opts *Options) *cobra.Command {
	if opts == nil {
		opts = &Options{}
	}
	p := &program{open: open}
	p.keep = keeping{p: p, folder: opts.Results}
	root := group(cmp.Or(opts.Name, filepath.Base(os.Args[0])), "Tenants, their schemas, and work over many of them")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().BoolVar(&p.json, "json", false, "write JSON lines only")
	root.PersistentFlags().BoolVarP(&p.yes, "yes", "y", false, "answer every question with yes")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(p.tenant(), p.db(), p.run(), p.schedule(), p.maintenance(), p.apikey(), p.audit(), p.rescue(), p.operator(), p.event(), p.pool(), p.doctor(),
		p.namespace(), p.usage(), p.health())
	p.giveReasons(root, "")
	p.prepare(root)
	rename(root, root.Name())
	return root
}

// rename makes the examples those of the program.
func rename(cmd *cobra.Command, name string) {
	cmd.Example = strings.ReplaceAll(cmd.Example, "tenantctl", name)
	for _, sub := range cmd.Commands() {
		rename(sub, name)
	}
}

// Main runs the command with the arguments of the program until it is done or
// interrupted, writes its error, and returns the exit code. A second interrupt ends the
// program at once.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal does what signals do
	return Run(ctx, root)
}

// Run is [Main] with a context. The changes that the command makes are those of the
// actor of ctx, or else of the user of the operating system; then the user agent of entries
// is the program and the machine, such as tenantctl@db1, and their address is that of the SSH
// client, if $SSH_CONNECTION names one. The flag --reason is the actor's reason.
func Run(ctx context.Context, root *cobra.Command) int {
	if tenancy.ActorFrom(ctx).Kind == tenancy.ActorUnknown {
		ctx = tenancy.WithActor(ctx, actorOf(root.Name()))
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var quiet *quietError
	if !errors.As(err, &quiet) {
		fmt.Fprintf(root.ErrOrStderr(), "%s: %v\n", root.Name(), err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var bad *usageError
	switch {
	case errors.As(err, &bad), errors.Is(err, tenancy.ErrInvalid), errors.Is(err, tenancy.ErrNotFound):
		return exitUsage
	case errors.Is(err, tenancy.ErrUnavailable):
		return exitUnreachable
	}
	return exitFailed
}

// usageError is an error about how the command was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// quietError is one that the command has shown already.
type quietError struct{ err error }

func (e *quietError) Error() string { return e.err.Error() }
func (e *quietError) Unwrap() error { return e.err }

// with returns the function of a command that needs the application.
func (p *program) with(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		app, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		p.app = app
		defer func() {
			if app.Close != nil {
				err = errors.Join(err, app.Close())
			}
		}()
		return fn(cmd, args)
	}
}

// args is a check of the arguments whose error is one of usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(fmt.Errorf("%w; try %q", err, cmd.CommandPath()+" --help"))
		}
		return nil
	}
}

// group returns a command that has others below it and does nothing itself.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// need returns an error if the application has not wired something.
func need(is bool, what string) error {
	if !is {
		return usage(fmt.Errorf("this program has no %s", what))
	}
	return nil
}

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

func (p *program) db() *cobra.Command {
	return group("db", "Tenants' schemas: bring them up to date, roll back, seed",
		p.dbMigrate(), p.dbStatus(), p.dbRollback(), p.dbRedo(), p.dbFresh(), p.dbResume(), p.dbMark(), p.dbShell(),
		p.bulkCommand(&bulk{task: TaskSeed, verb: "Seed"}, "seed", "Fill tenants' databases as those of new tenants are", "  tenantctl db seed acme"))
}

func (p *program) dbMigrate() *cobra.Command {
	return p.dbVersion(&bulk{p: p, task: TaskMigrate, verb: "Migrate"}, "go up to this version (default: the latest)", &cobra.Command{
		Use:   "migrate [tenant]...",
		Short: "Apply the migrations that tenants' databases lack",
		Long: `Apply the migrations that tenants' databases lack, as a run.

A run that was interrupted goes on where it was when the same command is given again.
Ctrl-C finishes the tenants in hand and leaves the rest of the run. A second Ctrl-C ends
the program at once: instances of the application then take over the tenants in hand.`,
		Example: `  tenantctl db migrate acme
  tenantctl db migrate --all --canary 5 --waves 25% --approve
  tenantctl db migrate --where "plan:pro" --exclude acme --dry-run`,
	})
}

func (p *program) dbRollback() *cobra.Command {
	return p.dbVersion(&bulk{p: p, task: TaskRollback, verb: "Roll back", destroys: true}, "go down to this version (default: one version down)", &cobra.Command{
		Use:     "rollback [tenant]...",
		Short:   "Take migrations back: the last one, or those later than --to",
		Example: "  tenantctl db rollback acme\n  tenantctl db rollback --all --to 41",
	})
}

// dbVersion is a command over many tenants that takes a version.
func (p *program) dbVersion(b *bulk, help string, cmd *cobra.Command) *cobra.Command {
	var to string
	cmd.RunE = p.with(func(cmd *cobra.Command, args []string) error {
		if to != "" {
			b.spec.Params = tenancy.Params{"to": to}
		}
		return b.run(cmd, args)
	})
	b.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", help)
	return cmd
}

func (p *program) dbRedo() *cobra.Command {
	return p.dbOne(&cobra.Command{
		Use: "redo <tenant>", Short: "Take the last migration back and apply it again, for development",
		Example: "  tenantctl db redo acme",
	}, "Take back the last migration of %s and apply it again?", true, func(ctx context.Context, t *tenancy.Tenant) (*migrate.Result, error) {
		return p.app.Migrator.Redo(ctx, t)
	})
}

// schemaOf is how one tenant's schema stands.
type schemaOf struct {
	Tenant string          `json:"tenant"`
	Status *migrate.Status `json:"status,omitempty"`
	Error  string          `json:"error,omitempty"`
	// Unreachable is whether the error says so.
	Unreachable bool      `json:"unreachable,omitempty"`
	At          time.Time `json:"as_of"`
}

// err returns the error, with the exit code that it had.
func (s *schemaOf) err() error {
	if s.Unreachable {
		return fmt.Errorf("%w: %s", tenancy.ErrUnavailable, s.Error)
	}
	return errors.New(s.Error)
}

func (p *program) dbStatus() *cobra.Command {
	var s selection
	var behind bool
	cmd := &cobra.Command{
		Use: "status [tenant]...", Short: "Show at which versions tenants' schemas are",
		Long: `Show at which versions tenants' schemas are. It asks the databases.

The last result of the same question is shown again, with its age, for --max-age;
--refresh asks again. Migrating and rolling back with this program forgets it.`,
		Example: "  tenantctl db status --all --behind\n  tenantctl db status --all --refresh",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Migrator != nil, "migrations"); err != nil {
				return err
			}
			return p.showStatus(cmd, &s, args, behind)
		}),
	}
	s.flags(cmd)
	p.keep.flags(cmd)
	cmd.Flags().BoolVar(&behind, "behind", false, "list only tenants that lack migrations")
	return cmd
}

// statusParallel is how many tenants are asked at a time.
const statusParallel = 8

// statuses returns the last result for a selection, or asks the tenants' databases.
func (p *program) statuses(cmd *cobra.Command, s *selection, names []string) ([]schemaOf, error) {
	ids, exclude, err := s.complete(p, cmd, names)
	if err != nil {
		return nil, err
	}
	of := fmt.Sprint(ids, exclude, s.where)
	if lines, at, ok := p.keep.last(cmd, of); ok {
		all := make([]schemaOf, len(lines))
		for i, line := range lines {
			ok = ok && json.Unmarshal(line, &all[i]) == nil
		}
		if ok {
			p.keep.sayAge(cmd, at)
			return all, nil
		}
	}
	total, err := s.count(p, cmd, ids, exclude)
	if err != nil {
		return nil, err
	}
	g := p.gauge(cmd, "db status", "tenants", total)
	all, err := p.askStatuses(cmd, s.these(p, cmd, ids, exclude), g)
	g.end()
	if err == nil {
		p.keep.keep(cmd, of, func(yield func(any) bool) {
			for _, each := range all {
				if !yield(each) {
					return
				}
			}
		})
	}
	return all, err
}

// askStatuses asks the databases of tenants, in order of their slugs.
func (p *program) askStatuses(cmd *cobra.Command, from iter.Seq2[*tenancy.Tenant, error], g *gauge) ([]schemaOf, error) {
	in := make(chan *tenancy.Tenant)
	var failed error
	go func() {
		defer close(in)
		for t, err := range from {
			if err != nil {
				failed = err
				return
			}
			if t.Status.Removable() {
				g.add(1)
				continue
			}
			in <- t
		}
	}()
	out := make(chan schemaOf)
	go func() {
		defer close(out)
		var wg sync.WaitGroup
		for range statusParallel {
			wg.Go(func() {
				for t := range in {
					st, err := p.app.Migrator.Status(cmd.Context(), t)
					each := schemaOf{Tenant: t.Slug, Status: st, At: time.Now().UTC()}
					if err != nil {
						each.Error, each.Unreachable = bare(err).Error(), errors.Is(err, tenancy.ErrUnavailable)
					}
					out <- each
				}
			})
		}
		wg.Wait()
	}()
	var all []schemaOf
	for each := range out {
		all = append(all, each)
		g.add(1)
	}
	slices.SortFunc(all, func(a, b schemaOf) int { return strings.Compare(a.Tenant, b.Tenant) })
	if err := cmd.Context().Err(); err != nil {
		return nil, err
	}
	return all, failed // in was closed after it
}

// bare returns the error without the method and the tenant's ID, where the tenant is named already.
func bare(err error) error {
	if e, ok := err.(*tenancy.Error); ok { //nolint:errorlint // what others have wrapped says more
		return e.Err
	}
	return err
}

func (p *program) showStatus(cmd *cobra.Command, s *selection, names []string, behind bool) error {
	all, err := p.statuses(cmd, s, names)
	if err != nil {
		return err
	}
	rows := newTable(cmd.OutOrStdout(), "TENANT", "VERSION", "PENDING")
	rows.lines = 4
	upToDate, broken := 0, error(nil)
	for _, each := range all {
		if each.Error == "" && each.Status.UpToDate() {
			if upToDate++; behind {
				continue
			}
		}
		if each.Error != "" {
			broken = cmp.Or(broken, each.err())
		}
		if p.json {
			if err := p.writeJSON(cmd, each); err != nil {
				return err
			}
			continue
		}
		version, pending := "?", each.Error
		if each.Error == "" {
			var files []string
			for _, f := range each.Status.Pending {
				files = append(files, f.File)
			}
			if version, pending = fmt.Sprint(each.Status.Version), ""; len(files) > 0 {
				pending = fmt.Sprintf("%d: %s", len(files), strings.Join(files, ", "))
			}
			if h := each.Status.Half; h != nil {
				pending = fmt.Sprintf("half done: %s, at statement %d: %s", h.File, h.Statement, h.Text)
			}
		}
		rows.row(each.Tenant, version, pending)
	}
	if !p.json {
		if len(rows.rows) > 1 {
			if err := rows.flush(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d of %s up to date\n", upToDate, tenants(len(all)))
	}
	if broken != nil {
		return &quietError{broken}
	}
	return nil
}

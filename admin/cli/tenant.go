package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

func (p *program) tenant() *cobra.Command {
	cmd := group("tenant", "Make, show and change tenants",
		p.tenantCreate(), p.tenantAdopt(), p.tenantList(), p.tenantShow(), p.tenantUpdate(), p.tenantRename(), p.tenantDomain(), p.tenantTag(), p.tenantHomepage(), p.tenantAddress(), p.tenantSignOut(),
		p.tenantRestore(), p.tenantPurge())
	cmd.AddCommand(p.statusCommands()...)
	return cmd
}

func (p *program) tenantCreate() *cobra.Command {
	var t tenancy.Tenant
	cmd := &cobra.Command{
		Use:     "create <slug>",
		Short:   "Make a tenant with its database",
		Example: "  tenantctl tenant create acme --name \"Acme Ltd\" --plan pro --tag eu",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Lifecycle != nil, "life cycle"); err != nil {
				return err
			}
			t.Slug = args[0]
			made, err := p.app.Lifecycle.Create(cmd.Context(), &t)
			if err != nil {
				return err
			}
			return p.made(cmd, made)
		}),
	}
	recordFlags(cmd, &t)
	return cmd
}

// made shows a tenant that was made.
func (p *program) made(cmd *cobra.Command, t *tenancy.Tenant) error {
	if p.json {
		return p.writeJSON(cmd, t)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "Made tenant %s (%s) on server %q.\n", t.Slug, t.ID, t.Placement.Server)
	return err
}

// Adopter is an optional ability of [App.Lifecycle], for "tenant adopt". A *lifecycle.Lifecycle has it.
type Adopter interface {
	Adopt(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error)
}

func (p *program) tenantAdopt() *cobra.Command {
	var t tenancy.Tenant
	cmd := &cobra.Command{
		Use:   "adopt <slug>",
		Short: "Make a tenant of a database that is there already",
		Long: `Make a tenant of a database that is there already, with all that is in it. The database
must be this tenant's and nobody else's. Migrations run on what is there; the seed does
not. If it fails, the database stays with what the migrations did.`,
		Example: "  tenantctl tenant adopt acme --database acme_production --plan pro",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			adopter, ok := p.app.Lifecycle.(Adopter)
			if err := need(ok, "life cycle that adopts databases"); err != nil {
				return err
			}
			if t.Placement.Database == "" {
				return usage(errors.New("say which database: --database"))
			}
			if err := p.confirm(cmd, "Make the database "+t.Placement.Database+" that of tenant "+args[0]+", and migrate it?", ""); err != nil {
				return err
			}
			t.Slug = args[0]
			made, err := adopter.Adopt(cmd.Context(), &t)
			if err != nil {
				return err
			}
			return p.made(cmd, made)
		}),
	}
	recordFlags(cmd, &t)
	cmd.Flags().StringVar(&t.Placement.Database, "database", "", "name of the database")
	return cmd
}

// recordFlags are those of a new record.
func recordFlags(cmd *cobra.Command, t *tenancy.Tenant) {
	cmd.Flags().StringVar(&t.Name, "name", "", "display name (default: the slug)")
	cmd.Flags().StringVar(&t.Plan, "plan", "", "plan")
	cmd.Flags().StringVar(&t.Placement.Server, "on", "", "server for the database (default: the program's)")
	cmd.Flags().StringSliceVar(&t.Domains, "domain", nil, "domain that leads to the tenant; may be repeated")
	cmd.Flags().StringSliceVar(&t.Tags, "tag", nil, "tag; may be repeated")
}

func (p *program) tenantList() *cobra.Command {
	var where string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List tenants",
		Example: "  tenantctl tenant list --where \"status:suspended plan:pro\"",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			f, err := tenancy.ParseFilter(where)
			if err != nil {
				return err
			}
			rows := newTable(cmd.OutOrStdout(), "SLUG", "STATUS", "PLAN", "SERVER", "CREATED", "NAME")
			for t, err := range p.list(cmd, f) {
				if err != nil {
					return err
				}
				if !p.json {
					rows.row(t.Slug, string(t.Status), t.Plan, t.Placement.Server, date(t.CreatedAt), t.Name)
				} else if err := p.writeJSON(cmd, t); err != nil {
					return err
				}
			}
			if p.json {
				return nil
			}
			return rows.flush()
		}),
	}
	cmd.Flags().StringVar(&where, "where", "", "only tenants that the filter selects, such as \"status:active plan:pro\"")
	p.settingsFlag(cmd)
	return cmd
}

func (p *program) tenantShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show <tenant>",
		Short:   "Show a tenant, by slug, ID or domain",
		Example: "  tenantctl tenant show acme",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, t)
			}
			return pairs(cmd.OutOrStdout(),
				"Slug", t.Slug, "ID", string(t.ID), "Name", t.Name, "Status", string(t.Status), "Plan", t.Plan,
				"Limits", limits(t.Limits), "Settings", settings(p.shownSettings(t.Settings)), "Tags", strings.Join(t.Tags, ", "), "Domains", strings.Join(t.Domains, ", "),
				"Server", t.Placement.Server, "Database", t.Placement.Database, "Schema version", schemaVersion(t),
				"Created", date(t.CreatedAt), "Changed", date(t.UpdatedAt))
		}),
	}
	p.settingsFlag(cmd)
	return cmd
}

func (p *program) settingsFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.secrets, "settings", false, "show the values of all settings, which may be secrets")
}

func schemaVersion(t *tenancy.Tenant) string {
	if t.SchemaVersion == 0 {
		return "not known"
	}
	return strconv.FormatInt(t.SchemaVersion, 10)
}

// find returns the tenant that an ID, a slug or a domain names. A name of none is an error of usage that wraps [tenancy.ErrNotFound].
// IDs come first: a slug, which customers may choose, can look like another tenant's ID.
func (p *program) find(cmd *cobra.Command, name string) (*tenancy.Tenant, error) {
	for _, kind := range []tenancy.RefKind{tenancy.RefID, tenancy.RefSlug, tenancy.RefDomain} {
		ref, err := tenancy.NewRef(kind, name)
		if err != nil {
			continue
		}
		t, err := p.app.Catalog.Find(cmd.Context(), ref)
		if err == nil || !errors.Is(err, tenancy.ErrNotFound) {
			return t, err
		}
	}
	return nil, usage(fmt.Errorf("%w: no tenant has the slug, ID or domain %q", tenancy.ErrNotFound, name))
}

// limits returns limits as a line.
func limits(all map[string]int64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, fmt.Sprintf("%s=%d", name, all[name]))
	}
	return strings.Join(out, ", ")
}

// settings returns settings as a line.
func settings(all map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, name+"="+all[name])
	}
	return strings.Join(out, ", ")
}

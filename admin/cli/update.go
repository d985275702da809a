package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

// tenantUpdate changes what the application keeps in the records of tenants.
func (p *program) tenantUpdate() *cobra.Command {
	var plan string
	var limits, settings []string
	b := &bulk{p: p, task: TaskUpdate, verb: "Update"}
	cmd := &cobra.Command{
		Use: "update [tenant]...", Short: "Set the plan, limits and settings of tenants",
		Long: `Set the plan, limits and settings of tenants.

A limit or setting without a value is removed. Slugs and names are changed by
"tenant rename", tags by "tenant tag", domains by "tenant domain".`,
		Example: `  tenantctl tenant update acme --plan pro --limit rate.tenant=100
  tenantctl tenant update --where "plan:trial" --setting theme=`,
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			b.spec.Params = tenancy.Params{}
			if cmd.Flags().Changed("plan") {
				b.spec.Params["plan"] = plan
			}
			for _, flag := range []struct {
				kind  string
				texts []string
			}{{"limit", limits}, {"setting", settings}} {
				for _, text := range flag.texts {
					name, value, ok := strings.Cut(text, "=")
					if !ok || name == "" {
						return usage(fmt.Errorf("--%s %q, want name=value, or name= to remove it", flag.kind, text))
					}
					b.spec.Params[flag.kind+"."+name] = value
				}
			}
			if len(b.spec.Params) == 0 {
				return usage(fmt.Errorf("want --plan, --limit or --setting"))
			}
			return b.run(cmd, args)
		}),
	}
	b.flags(cmd)
	cmd.Flags().StringVar(&plan, "plan", "", "new plan; \"\" is none")
	cmd.Flags().StringArrayVar(&limits, "limit", nil, "limit as name=number, or name= to remove it; may be repeated")
	cmd.Flags().StringArrayVar(&settings, "setting", nil, "setting as name=value, or name= to remove it; may be repeated")
	return cmd
}

// tenantHomepage switches what middleware.Homepage looks at: a setting of the record.
func (p *program) tenantHomepage() *cobra.Command {
	b := &bulk{p: p, task: TaskUpdate, verb: "Change the homepage of"}
	cmd := &cobra.Command{
		Use: "homepage <state> [tenant]...", Short: "Switch the homepage of tenants on or off",
		Long: `Switch the homepage of tenants on or off. While it is off, the application's
middleware.Homepage redirects visitors to the place that the application names.`,
		Example: "  tenantctl tenant homepage off acme\n  tenantctl tenant homepage on --all",
		Args: args(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] != "on" && args[0] != "off" {
				return fmt.Errorf("say \"on\" or \"off\", and then which tenants")
			}
			return nil
		}),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			value := "off"
			if args[0] == "on" {
				value = "" // what a record without the setting has
			}
			b.spec.Params = tenancy.Params{"setting.homepage": value}
			return b.run(cmd, args[1:])
		}),
	}
	b.flags(cmd)
	return cmd
}

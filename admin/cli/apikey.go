package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func (p *program) apikey() *cobra.Command {
	return group("apikey", "API keys of tenants", p.apikeyIssue(), p.apikeyList(), p.apikeyRotate(), p.apikeyRevoke())
}

// onKeys returns the function of a command about the keys of its first argument.
func (p *program) onKeys(fn func(cmd *cobra.Command, t *tenancy.Tenant, args []string) error) func(*cobra.Command, []string) error {
	return p.with(func(cmd *cobra.Command, args []string) error {
		if err := need(p.app.Keys != nil, "API keys"); err != nil {
			return err
		}
		t, err := p.find(cmd, args[0])
		if err != nil {
			return err
		}
		return fn(cmd, t, args[1:])
	})
}

func (p *program) apikeyIssue() *cobra.Command {
	var spec catalog.APIKeySpec
	cmd := &cobra.Command{
		Use: "issue <tenant>", Short: "Make an API key and show it, once",
		Example: "  tenantctl apikey issue acme --name importer --scope notes:write --ttl 720h",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.onKeys(func(cmd *cobra.Command, t *tenancy.Tenant, _ []string) error {
			secret, info, err := p.app.Keys.Issue(cmd.Context(), t.ID, spec)
			return p.showKey(cmd, secret, info, err)
		}),
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "name, for people")
	cmd.Flags().StringSliceVar(&spec.Scopes, "scope", nil, "what the key may do; may be repeated")
	cmd.Flags().DurationVar(&spec.TTL, "ttl", 0, "how long it is valid (default: until it is revoked)")
	return cmd
}

// showKey shows a key that was made. Nobody can show it again.
func (p *program) showKey(cmd *cobra.Command, secret tenancy.Secret, info catalog.APIKeyInfo, err error) error {
	if err != nil {
		return err
	}
	if p.json {
		return p.writeJSON(cmd, map[string]string{"id": info.ID, "key": secret.Reveal()})
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Keep this key: it cannot be shown again.")
	_, err = fmt.Fprintln(cmd.OutOrStdout(), secret.Reveal())
	return err
}

func (p *program) apikeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list <tenant>", Short: "List the API keys of a tenant, without their text",
		Example: "  tenantctl apikey list acme",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.onKeys(func(cmd *cobra.Command, t *tenancy.Tenant, _ []string) error {
			all, err := p.app.Keys.List(cmd.Context(), t.ID)
			if err != nil {
				return err
			}
			rows := newTable(cmd.OutOrStdout(), "ID", "CREATED", "USED", "EXPIRES", "NAME AND SCOPES")
			for _, key := range all {
				if p.json {
					key.Hash = tenancy.Digest{}
					if err := p.writeJSON(cmd, key); err != nil {
						return err
					}
					continue
				}
				used := date(key.UsedAt)
				if used == "" {
					used = "never"
				}
				rows.row(key.ID, date(key.CreatedAt), used, date(key.ExpiresAt), strings.TrimSpace(key.Name+" "+strings.Join(key.Scopes, ",")))
			}
			if p.json {
				return nil
			}
			if len(all) == 0 {
				return p.say(cmd, "Tenant %s has no API keys.", t.Slug)
			}
			return rows.flush()
		}),
	}
}

func (p *program) apikeyRotate() *cobra.Command {
	var after time.Duration
	cmd := &cobra.Command{
		Use: "rotate <tenant> <key>", Short: "Replace an API key; the old one is valid for a while",
		Example: "  tenantctl apikey rotate acme 4f9b2k7q1x --after 24h",
		Args:    args(cobra.ExactArgs(2)),
		RunE: p.onKeys(func(cmd *cobra.Command, t *tenancy.Tenant, args []string) error {
			secret, info, err := p.app.Keys.Rotate(cmd.Context(), t.ID, args[0], after)
			return p.showKey(cmd, secret, info, err)
		}),
	}
	cmd.Flags().DurationVar(&after, "after", 24*time.Hour, "how long the old key stays valid")
	return cmd
}

func (p *program) apikeyRevoke() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "revoke <tenant> [key]", Short: "End the validity of an API key, or with --all of every key",
		Example: "  tenantctl apikey revoke acme 4f9b2k7q1x",
		Args:    args(cobra.RangeArgs(1, 2)),
		RunE: p.onKeys(func(cmd *cobra.Command, t *tenancy.Tenant, args []string) error {
			switch {
			case all == (len(args) == 1):
				return usage(fmt.Errorf("want a key, or --all"))
			case all:
				if err := p.confirm(cmd, "Revoke every API key of "+t.Slug+"?", t.Slug); err != nil {
					return err
				}
				if err := p.app.Keys.RevokeAll(cmd.Context(), t.ID); err != nil {
					return err
				}
				return p.revoked(cmd, t, "")
			}
			if err := p.app.Keys.Revoke(cmd.Context(), t.ID, args[0]); err != nil {
				return err
			}
			return p.revoked(cmd, t, args[0])
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "every key of the tenant")
	return cmd
}

// revoked says which key is not valid any more; without one, all are not.
func (p *program) revoked(cmd *cobra.Command, t *tenancy.Tenant, key string) error {
	switch {
	case p.json && key == "":
		return p.writeJSON(cmd, map[string]string{"tenant": t.Slug, "revoked": "all"})
	case p.json:
		return p.writeJSON(cmd, map[string]string{"tenant": t.Slug, "revoked": key})
	case key == "":
		return p.say(cmd, "No API key of tenant %s is valid any more.", t.Slug)
	}
	return p.say(cmd, "API key %s of tenant %s is not valid any more.", key, t.Slug)
}

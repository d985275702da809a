package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// Operators is an optional ability of [App.Operators] for the commands of "operator". An *auth.Auth has it.
type Operators interface {
	Operators(ctx context.Context, after string, limit int) ([]*auth.Operator, error)
	Invitations(ctx context.Context) ([]auth.Invitation, error)
	Invite(ctx context.Context, by *auth.Operator, spec auth.OperatorSpec) (token tenancy.Secret, expires time.Time, err error)
	UpdateOperator(ctx context.Context, id string, version int64, by string, c auth.OperatorChange) (*auth.Operator, error)
}

var _ Operators = (*auth.Auth)(nil)

func (p *program) operator() *cobra.Command {
	disable := func(name, short string, disabled bool) *cobra.Command {
		return &cobra.Command{
			Use: name + " <operator>", Short: short,
			Example: "  tenantctl operator " + name + " vic@example.com",
			Args:    args(cobra.ExactArgs(1)),
			RunE: p.onOperators(func(cmd *cobra.Command, all Operators, args []string) error {
				return p.changeOperator(cmd, all, args[0], auth.OperatorChange{Disabled: &disabled})
			}),
		}
	}
	return group("operator", "Operators of the console",
		p.operatorList(), p.operatorInvite(), p.operatorRole(),
		disable("suspend", "End the sessions of an operator, and let them in no more", true),
		disable("enable", "Let an operator in again who was suspended", false))
}

// onOperators returns the function of a command about operators.
func (p *program) onOperators(fn func(cmd *cobra.Command, all Operators, args []string) error) func(*cobra.Command, []string) error {
	return p.with(func(cmd *cobra.Command, args []string) error {
		all, ok := p.app.Operators.(Operators)
		if err := need(ok, "console"); err != nil {
			return err
		}
		return fn(cmd, all, args)
	})
}

// operatorShown is an operator, or somebody who is invited, as the commands show them.
type operatorShown struct {
	ID           string        `json:"id,omitempty"` // of the operator
	Invitation   string        `json:"invitation,omitempty"`
	Email        string        `json:"email"`
	Name         string        `json:"name"`
	Role         string        `json:"role"`
	Scope        tenancy.Scope `json:"scope"`
	Disabled     bool          `json:"disabled"`
	SecondFactor bool          `json:"second_factor"`
	SignedInAt   time.Time     `json:"signed_in_at,omitzero"`
	ExpiresAt    time.Time     `json:"expires_at,omitzero"` // of the invitation
}

func operatorOf(o *auth.Operator) operatorShown {
	return operatorShown{ID: o.ID, Email: o.Email, Name: o.Name, Role: o.Role, Scope: o.Scope, Disabled: o.Disabled, SecondFactor: o.SecondFactor, SignedInAt: o.SignedInAt}
}

// state says in a word whether somebody gets in.
func (o *operatorShown) state() string {
	switch {
	case o.Invitation != "":
		return "invited"
	case o.Disabled:
		return "suspended"
	}
	return "active"
}

// operators returns all operators, in order of their addresses.
func operators(ctx context.Context, of Operators) (out []*auth.Operator, err error) {
	const most = 500
	for after := ""; ; after = out[len(out)-1].ID {
		page, err := of.Operators(ctx, after, most)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if len(page) < most {
			break
		}
	}
	slices.SortFunc(out, func(a, b *auth.Operator) int { return strings.Compare(a.Email, b.Email) })
	return out, nil
}

// findOperator returns the operator whom an address or an ID names.
func findOperator(ctx context.Context, of Operators, name string) (*auth.Operator, error) {
	all, err := operators(ctx, of)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if o.ID == name || strings.EqualFold(o.Email, name) {
			return o, nil
		}
	}
	return nil, usage(fmt.Errorf("%w: no operator has the address or ID %q", tenancy.ErrNotFound, name))
}

func (p *program) operatorList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List operators, and who is invited",
		Example: "  tenantctl operator list",
		Args:    args(cobra.NoArgs),
		RunE: p.onOperators(func(cmd *cobra.Command, of Operators, _ []string) error {
			found, err := operators(cmd.Context(), of)
			if err != nil {
				return err
			}
			invited, err := of.Invitations(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]operatorShown, 0, len(found)+len(invited))
			for _, o := range found {
				all = append(all, operatorOf(o))
			}
			for _, i := range invited {
				all = append(all, operatorShown{Invitation: i.ID, Email: i.Email, Name: i.Name, Role: i.Role, Scope: i.Scope, ExpiresAt: i.ExpiresAt})
			}
			rows := newTable(cmd.OutOrStdout(), "ADDRESS", "ROLE", "STATE", "SIGNED IN", "SCOPE")
			for i := range all {
				o := &all[i]
				if rows.row(o.Email, o.Role, o.state(), minute(o.SignedInAt), o.Scope.String()); p.json {
					if err := p.writeJSON(cmd, o); err != nil {
						return err
					}
				}
			}
			if p.json {
				return nil
			}
			return rows.flush()
		}),
	}
}

// scoping are the flags that say which tenants an operator sees.
type scoping struct {
	all           bool
	tags, tenants []string
}

func (s *scoping) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.all, "all", false, "the operator sees all tenants")
	cmd.Flags().StringSliceVar(&s.tags, "tag", nil, "the operator sees tenants with this tag; may be repeated")
	cmd.Flags().StringSliceVar(&s.tenants, "tenant", nil, "the operator sees this tenant; may be repeated")
}

// scope reads the flags; without any there is none.
func (s *scoping) scope(p *program, cmd *cobra.Command) (*tenancy.Scope, error) {
	given := 0
	for _, is := range []bool{s.all, len(s.tags) > 0, len(s.tenants) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, usage(errors.New("say which tenants the operator sees: --all, --tag or --tenant, and only one of these"))
	}
	var scope tenancy.Scope
	switch {
	case given == 0:
		return nil, nil
	case s.all:
		scope = tenancy.AllTenants()
	case len(s.tags) > 0:
		for _, tag := range s.tags {
			if err := tenancy.ValidateTag(tag); err != nil {
				return nil, err
			}
		}
		scope = tenancy.ByTags(s.tags...)
	default:
		var ids []tenancy.ID
		for _, name := range s.tenants {
			t, err := p.find(cmd, name)
			if err != nil {
				return nil, err
			}
			ids = append(ids, t.ID)
		}
		scope = tenancy.ByIDs(ids...)
	}
	return &scope, nil
}

func (p *program) operatorInvite() *cobra.Command {
	var s scoping
	var by, name string
	cmd := &cobra.Command{
		Use: "invite <email> <role>", Short: "Invite somebody to become an operator, and show the token, once",
		Long: `Invite somebody to become an operator of the console, in the name of an operator who has
the role and sees the tenants. The token works once, for 24 hours: it is sent to POST
auth/accept with a password. If the application mails invitations, it is not shown.`,
		Example: "  tenantctl operator invite eve@example.com viewer --by ada@example.com --all",
		Args:    args(cobra.ExactArgs(2)),
		RunE: p.onOperators(func(cmd *cobra.Command, of Operators, args []string) error {
			if by == "" {
				return usage(errors.New("say in whose name: --by, the address of an operator"))
			}
			scope, err := s.scope(p, cmd)
			if err != nil {
				return err
			}
			if scope == nil {
				return usage(errors.New("say which tenants the operator sees: --all, --tag or --tenant"))
			}
			inviter, err := findOperator(cmd.Context(), of, by)
			if err != nil {
				return err
			}
			token, expires, err := of.Invite(cmd.Context(), inviter, auth.OperatorSpec{Email: args[0], Name: name, Role: args[1], Scope: *scope})
			if err != nil {
				return err
			}
			return p.showInvitation(cmd, args[0], token, expires)
		}),
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&by, "by", "", "address of the operator in whose name")
	cmd.Flags().StringVar(&name, "name", "", "name of who is invited (default: the address)")
	return cmd
}

// showInvitation shows the token of an invitation, unless it was mailed. Nobody can show it again.
func (p *program) showInvitation(cmd *cobra.Command, email string, token tenancy.Secret, expires time.Time) error {
	text := token.Reveal()
	switch {
	case p.json:
		return p.writeJSON(cmd, struct {
			Email     string    `json:"email"`
			Token     string    `json:"token,omitempty"`
			Sent      bool      `json:"sent"`
			ExpiresAt time.Time `json:"expires_at"`
		}{email, text, text == "", expires.UTC()})
	case text == "":
		return p.say(cmd, "A link was sent to %s. It works once, until %s.", email, minute(expires))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This token works once, until %s. It cannot be shown again.\n", minute(expires))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

func (p *program) operatorRole() *cobra.Command {
	var s scoping
	cmd := &cobra.Command{
		Use: "role <operator> <role>", Short: "Give an operator another role, and with flags other tenants",
		Example: "  tenantctl operator role vic@example.com operator --tag eu",
		Args:    args(cobra.ExactArgs(2)),
		RunE: p.onOperators(func(cmd *cobra.Command, of Operators, args []string) error {
			scope, err := s.scope(p, cmd)
			if err != nil {
				return err
			}
			return p.changeOperator(cmd, of, args[0], auth.OperatorChange{Role: &args[1], Scope: scope})
		}),
	}
	s.flags(cmd)
	return cmd
}

// changeOperator changes an operator and shows them.
func (p *program) changeOperator(cmd *cobra.Command, of Operators, name string, change auth.OperatorChange) error {
	o, err := findOperator(cmd.Context(), of, name)
	if err != nil {
		return err
	}
	if o, err = of.UpdateOperator(cmd.Context(), o.ID, o.Version, "", change); err != nil {
		return err
	}
	shown := operatorOf(o)
	if p.json {
		return p.writeJSON(cmd, shown)
	}
	return p.say(cmd, "Operator %s: %s, %s, %s.", o.Email, o.Role, shown.state(), o.Scope)
}

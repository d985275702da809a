package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

// Rescuer lets an owner of the console in who is locked out. An *auth.Auth is one.
type Rescuer interface {
	Rescue(ctx context.Context, email string) (token tenancy.Secret, expires time.Time, err error)
}

func (p *program) rescue() *cobra.Command {
	return &cobra.Command{
		Use: "rescue <e-mail address>", Short: "Let an owner of the console in who is locked out, once",
		Long: `Show a token with which an owner of the console gets in once, within 15 minutes, whatever
the rules about addresses say. The owner sends it with a new password to POST auth/rescue
and enrols a new second factor. It is in the audit, and the overview of the console shows
it for a week.`,
		Example: "  tenantctl rescue ada@example.com",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Operators != nil, "console"); err != nil {
				return err
			}
			token, expires, err := p.app.Operators.Rescue(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, map[string]any{"token": token.Reveal(), "expires_at": expires.UTC()})
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "This token works once, until %s. It cannot be shown again.\n", expires.Local().Format("15:04:05"))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Reveal())
			return err
		}),
	}
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

const intro = `The console answers at http://%[1]s, the tenants' service at http://%[2]s. Data is kept in %[3]s.
This is a demo: its own traffic is all that there is to see, and on this machine the second factor is optional.

`

const setupLine = `Open this in a browser to become the console's owner; it works once, for an hour:

  http://%[1]s/#/setup?token=%[2]s

Or use the API, in another terminal:

# 1. Make the owner. The token works once, for an hour; the session is kept in the file jar. Choose another password if you like.
curl -sS -c jar --json '{"token":"%[2]s","email":"you@example.com","name":"You","password":"%[3]s"}' http://%[1]s/api/tenancy/auth/setup

# Later: sign in again, with the same password.
curl -sS -c jar --json '{"email":"you@example.com","password":"%[3]s"}' http://%[1]s/api/tenancy/auth/sign-in

`

const signInLine = `Open http://%[1]s in a browser and sign in. Or use the API, in another terminal:

# 1. Sign in; the session is kept in the file jar.
curl -sS -c jar --json '{"email":"%[2]s","password":"…"}' http://%[1]s/api/tenancy/auth/sign-in

`

const lines = `# 2. Look. The counts grow at each call; the stream has a frame a second.
curl -sS -b jar http://%[1]s/api/tenancy/analytics/overview
curl -sSN -b jar --max-time 5 'http://%[1]s/api/tenancy/live?topics=overview'

# 3. Suspend a tenant: its next request gets 403, and the audit says who did it.
curl -sS -b jar -X POST -H 'X-Reason: unpaid' http://%[1]s/api/tenancy/tenants/%[3]s/suspend
curl -sS -i http://%[2]s/t/%[4]s/notes
curl -sS -b jar 'http://%[1]s/api/tenancy/audit?tenant=%[3]s&limit=1'

`

// welcome prints the lines by which an operator begins, and keeps them in a file that only the program's user can read.
func welcome(ctx context.Context, f *flags, operators *auth.Auth, console, service string, made []*tenancy.Tenant, out io.Writer) error {
	text := fmt.Sprintf(intro, console, service, f.data)
	if f.owner != "" {
		if err := owner(ctx, operators, f.owner); err != nil {
			return err
		}
	}
	token, err := operators.NewSetupToken(ctx)
	switch {
	case err == nil:
		text += fmt.Sprintf(setupLine, console, token.Reveal(), rand.Text())
	case errors.Is(err, tenancy.ErrExists):
		text += fmt.Sprintf(signInLine, console, "you@example.com")
	default:
		return err
	}
	text += fmt.Sprintf(lines, console, service, made[0].ID, made[0].Slug)
	if err := os.WriteFile(filepath.Join(f.data, "welcome.txt"), []byte(text), 0o600); err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

// rescue prints the line by which an owner who is locked out gets in again.
func rescue(ctx context.Context, f *flags, operators *auth.Auth, out io.Writer) error {
	ctx = tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: os.Getenv("USER"), Reason: "rescue"})
	token, expires, err := operators.Rescue(ctx, f.rescue)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `This works once, until %[1]s. It sets a new password and asks for a new second factor. Open it in a browser:

  http://%[4]s/#/rescue?token=%[2]s

Or use the API:

curl -sS -c jar --json '{"token":"%[2]s","password":"%[3]s"}' http://%[4]s/api/tenancy/auth/rescue
`, expires.Local().Format("15:04:05"), token.Reveal(), rand.Text(), f.addr)
	return err
}

// owner makes the first owner of a file, unless there is one.
func owner(ctx context.Context, operators *auth.Auth, path string) error {
	text, err := os.ReadFile(path) // the operator's own file
	if err != nil {
		return err
	}
	var in struct{ Email, Name, Password string }
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("-owner: %w", err)
	}
	_, err = operators.CreateOperator(ctx, auth.OperatorSpec{Email: in.Email, Name: in.Name, Password: in.Password, Role: auth.RoleOwner, Scope: tenancy.AllTenants()})
	if errors.Is(err, tenancy.ErrExists) {
		return nil
	}
	return err
}

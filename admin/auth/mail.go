package auth

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Kinds of [Mail].
const (
	MailInvitation      = "invitation"
	MailReset           = "reset"
	MailPasswordChanged = "password-changed"
	MailRescue          = "rescue"
	MailFactorReset     = "factor-reset"
	MailRecoveryCodes   = "recovery-codes"
)

// Mail is a message to an operator.
type Mail struct {
	// Kind is one of those above.
	Kind string
	To   string // an address
	Name string // of whom it goes to
	// Link leads to the console and works once, until Expires. Others have none.
	Link    tenancy.Secret
	Expires time.Time
	// Text says it in plain English, without the link. An application may say it in its own words.
	Text string
}

// Mailer sends mails. It is called by many goroutines at once, with a context that ends after some seconds.
type Mailer interface {
	SendMail(ctx context.Context, m *Mail) error
}

const (
	// mailWait bounds the sending of a mail.
	mailWait = 15 * time.Second
	// mailQueue is how many mails wait that nobody waits for.
	mailQueue = 256
)

// link returns the address of a page of the console with a token. It is in the fragment, so no server and no log has it.
func (a *Auth) link(page string, token tenancy.Secret) tenancy.Secret {
	return tenancy.NewSecret(a.opts.URL + "#/" + page + "?token=" + url.QueryEscape(token.Reveal()))
}

// send sends a mail that somebody waits for.
func (a *Auth) send(ctx context.Context, m *Mail) error {
	ctx, cancel := context.WithTimeout(ctx, mailWait)
	defer cancel()
	if err := a.opts.Mail.SendMail(ctx, m); err != nil {
		return fmt.Errorf("%w: the mail was not sent: %w", tenancy.ErrUnavailable, err)
	}
	return nil
}

// tell sends a mail beside what happens. [Auth.Run] must be running.
func (a *Auth) tell(ctx context.Context, m *Mail) {
	if a.opts.Mail == nil {
		return
	}
	select {
	case a.mails <- m:
	default:
		a.opts.Logger.WarnContext(ctx, "auth: too many mails wait; one is not sent", "kind", m.Kind)
	}
}

// sendMails sends what waits until ctx ends.
func (a *Auth) sendMails(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-a.forgotten:
			if err := a.mailReset(ctx, f); err != nil && ctx.Err() == nil {
				a.opts.Logger.WarnContext(ctx, "auth: a link to choose a new password was not sent", "error", err)
			}
		case m := <-a.mails:
			if err := a.send(ctx, m); err != nil && ctx.Err() == nil {
				a.opts.Logger.WarnContext(ctx, "auth: a mail was not sent", "kind", m.Kind, "error", err)
			}
		}
	}
}

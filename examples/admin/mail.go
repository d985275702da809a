package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/artflow-studio/tenancy/admin/auth"
)

// mailFile appends mails to a file instead of sending them: the demo's operators have no mailboxes.
type mailFile struct {
	path string
	mu   sync.Mutex // orders the writes
}

// SendMail appends the mail. Its link lets its reader in, so only the program's user can read the file.
func (m *mailFile) SendMail(_ context.Context, mail *auth.Mail) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	file, err := os.OpenFile(m.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "To: %s\nSubject: %s\n\n%s\n\n%s\n\n", mail.To, mail.Kind, mail.Text, mail.Link.Reveal())
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

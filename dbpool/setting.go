package dbpool

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Settings is the optional ability of an [Engine] to check that a session has the
// settings on which the package's promises rest, such as that it only reads. What a
// connection asked for when it was made says little: a pooler in between may drop it.
type Settings interface {
	// CheckSettings asks the server, in one round trip at most, after Identify. A
	// session that is not as its connector makes it is a [*SettingError], and the
	// caller closes the connection.
	CheckSettings(ctx context.Context, conn driver.Conn, readOnly bool) error
}

// SettingError says that a session does not have a setting on which a promise of the
// package rests. The connection was closed before anybody could use it. It wraps
// [tenancy.ErrUnavailable].
type SettingError struct {
	// Name is the setting, as the server calls it.
	Name      string
	Want, Got string
}

// Error returns the text for logs.
func (e *SettingError) Error() string {
	return fmt.Sprintf("the session has %s %q, want %q: something between here and the server drops settings, or the server's defaults are different",
		e.Name, e.Got, e.Want)
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *SettingError) Unwrap() error { return tenancy.ErrUnavailable }

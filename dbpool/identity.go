package dbpool

import (
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// IdentityError says that a server led to another database than the tenant's.
// The connection was closed before anybody could use it. It unwraps to
// [tenancy.ErrUnavailable].
type IdentityError struct {
	Tenant   tenancy.ID
	Database string
	Got      driver.Identity
}

// Error returns the text for logs.
func (e *IdentityError) Error() string {
	if e.Got.Tenant == "" {
		return fmt.Sprintf("wrong database: want %q of tenant %q, the server says %q, which has no owner", e.Database, string(e.Tenant), e.Got.Database)
	}
	return fmt.Sprintf("wrong database: want %q of tenant %q, the server says %q of tenant %q",
		e.Database, string(e.Tenant), e.Got.Database, string(e.Got.Tenant))
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *IdentityError) Unwrap() error { return tenancy.ErrUnavailable }

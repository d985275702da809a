package dbpool

import "github.com/artflow-studio/tenancy/dbpool/internal/wire"

// Unwrap returns the driver's own connection out of what [sql.Conn.Raw] gives,
// for what only the driver can do, such as pgx's CopyFrom. It is for use within
// Raw. What happens to the session there is not seen, so it is cleaned afterwards
// as after a statement that leaves something, unless [Options.KeepSessions] says
// otherwise. Any other value is returned as it is.
func Unwrap(raw any) any {
	if c, ok := raw.(*wire.Conn); ok {
		return c.Raw()
	}
	return raw
}

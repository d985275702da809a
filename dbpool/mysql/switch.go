package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Commands of the protocol.
const (
	comInitDB          = 0x02
	comQuery           = 0x03
	comResetConnection = 0x1f
)

// session is what a new session of a connection is like, where a reset may not
// bring it about.
type session struct {
	text  string // the server's own answer
	names string // the statement that sets the character sets, if a reset does not
}

// sessionColumns are what is run in new sessions, the session's role, whether the
// texts of earlier statements are kept in it, and its character sets. A reset
// leaves the role and the texts as they are.
const sessionColumns = `@@GLOBAL.init_connect, CURRENT_ROLE(), CONCAT(@@profiling = 1 OR EXISTS (SELECT 1 FROM information_schema.profiling)),
	@@character_set_client, @@character_set_results, @@collation_connection`

// newSession asks what the session of a connection is like, which must be new. It
// returns nil of one that cannot be made new again. Only MariaDB reads the comment,
// from 10.11 on.
func (c *connector) newSession(ctx context.Context, conn sqldriver.Conn) *session {
	row, err := sqlkit.Strings(ctx, conn, `SELECT 'MariaDB' /*M!101100 , `+sessionColumns+` */`)
	if err != nil {
		return nil
	}
	return readSession(row[1:], cmp.Or(c.engine.config.Collation, "utf8mb4_general_ci"))
}

// readSession reads what sessionColumns give in a new session, for which the
// driver has asked for a collation.
func readSession(row []string, collation string) *session {
	if len(row) != 6 || row[0] != "" || row[2] != "0" {
		return nil
	}
	s := &session{text: strings.Join(row, "|")}
	client, results, collates := row[3], row[4], row[5]
	if collates != collation || client != results || !strings.HasPrefix(collates, client+"_") {
		s.names = fmt.Sprintf(`SET character_set_client = %s, character_set_results = %s, collation_connection = %s`,
			client, cmp.Or(results, "NULL"), collates)
	}
	return s
}

// is returns an error unless the session is like this one.
func (s *session) is(row []string) error {
	if now := strings.Join(row, "|"); now != s.text {
		return fmt.Errorf("mysql: the session is not like a new one: %q, want %q", now, s.text)
	}
	return nil
}

// Identify asks in one round trip. Without a marker the database's name is asked
// for alone. It fails, too, if statements would leave transactions open, if the time
// zone of a new session is not the one that [New] promises, or behind Switch if the session
// is not like a new one.
func (e *Engine) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	c, plain := conn.(*plainConn)
	renewed := plain && c.renewed
	more := ", " + numberColumn + ", IF(@@autocommit, '1', '0'), @@time_zone"
	if renewed {
		more += ", " + sessionColumns
	}
	row, err := sqlkit.Strings(ctx, conn, `SELECT DATABASE(), (SELECT tenant_id FROM tenancy_marker)`+more)
	if sqlkit.IsNoTable(err) {
		row, err = sqlkit.Strings(ctx, conn, `SELECT DATABASE(), ''`+more)
	}
	if err == nil && renewed {
		err = c.fresh.is(row[5:])
		c.renewed = err != nil // from now on its users may change it
	}
	if err == nil && row[3] != "1" { // any statement would leave a transaction open
		err = &driver.SettingError{Name: "autocommit", Want: "1", Got: row[3]}
	}
	l := linkOf(conn)
	first := l == nil || l.number == ""                                 // a session that is kept has the time zone of its users
	if err == nil && e.utc && (first || renewed) && row[4] != utcZone { // times of the server would be read as UTC
		err = &driver.SettingError{Name: "time_zone", Want: utcZone, Got: row[4]}
	}
	if err != nil {
		return driver.Identity{}, err
	}
	if l != nil {
		l.number = row[2]
	}
	return driver.Identity{Database: row[0], Tenant: tenancy.ID(row[1])}, nil
}

// Switch resets the session and switches it to the database of another connector of
// this engine. The commands are sent in front of Identify's, in one round trip; if
// one of them fails, so does Identify.
func (e *Engine) Switch(ctx context.Context, conn sqldriver.Conn, to sqldriver.Connector) error {
	c, ok := conn.(*plainConn)
	if !ok || c.at.engine != e {
		return sqldriver.ErrSkip
	}
	at, ok := to.(*connector)
	if !ok || at.engine != e || at.database == "" {
		return sqldriver.ErrSkip
	}
	return c.renew(ctx, at)
}

// Clean makes the session new where it is, in one round trip.
func (e *Engine) Clean(ctx context.Context, conn sqldriver.Conn) error {
	c, ok := conn.(*plainConn)
	if !ok || c.at.database == "" {
		return errors.New("mysql: the session cannot be made new")
	}
	if err := c.renew(ctx, c.at); err != nil {
		return err
	}
	row, err := sqlkit.Strings(ctx, conn, `SELECT `+sessionColumns)
	if err != nil {
		return err
	}
	c.renewed = false
	return c.fresh.is(row)
}

// renew puts in front of the next command those that make the session one of a
// new connection of a connector. From the answer to that next command the driver
// learns how the new session reads backslashes.
func (c *plainConn) renew(ctx context.Context, at *connector) error {
	if err := c.ResetSession(ctx); err != nil { // it broke, or something came that nobody asked for
		return err
	}
	c.wire.before(comResetConnection, "")
	c.wire.before(comInitDB, at.database)
	for _, statement := range []string{c.fresh.names, at.engine.params(), at.first()} {
		if statement != "" {
			c.wire.before(comQuery, statement)
		}
	}
	c.at, c.readOnly, c.renewed = at, at.readOnly, true
	return nil
}

// params returns the statement that sets the DSN's own variables, as the driver
// does it for a new connection, or "".
func (e *Engine) params() string {
	sets := make([]string, 0, len(e.config.Params))
	for name, value := range e.config.Params {
		sets = append(sets, name+" = "+value)
	}
	if len(sets) == 0 {
		return ""
	}
	return "SET " + strings.Join(sets, ", ")
}

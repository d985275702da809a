package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ driver.Replication = (*Engine)(nil)

// unknownVariable is ER_UNKNOWN_SYSTEM_VARIABLE.
const unknownVariable = 1193

// Server returns what opens connections to the server, with no database chosen.
func (e *Engine) Server() (sqldriver.Connector, error) {
	c, err := e.connector("")
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Position asks which global transaction IDs were written to the server's binary
// log, and which it has applied as a replica. What is not written to the log
// (sql_log_bin, binlog_ignore_db), and what a replica leaves out, does not show.
//
// A server without a binary log that is no replica either is an error that
// wraps [tenancy.ErrInvalid], and so is MySQL: its IDs are others than
// those of MariaDB. Nothing is ever said to have reached what a server without a
// binary log has, nor one whose log is empty.
func (e *Engine) Position(ctx context.Context, conn sqldriver.Conn) (driver.Position, error) {
	row, err := sqlkit.Strings(ctx, conn, `SELECT IF(@@GLOBAL.log_bin, 'log', ''), CONCAT(@@GLOBAL.server_id), @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos`)
	if refused := (*mysql.MySQLError)(nil); errors.As(err, &refused) && refused.Number == unknownVariable {
		return "", fmt.Errorf("%w: positions need MariaDB; the global transaction IDs of MySQL are not supported", tenancy.ErrInvalid)
	}
	if err != nil {
		return "", err
	}
	p, err := readPosition(row)
	switch {
	case errors.Is(err, tenancy.ErrInvalid):
		return "", err
	case err != nil:
		return "", fmt.Errorf("%w: the server gives its position as %q: %w", tenancy.ErrUnavailable, row, err)
	}
	return p.text(), nil
}

// Reached reports whether for each domain of the second position, the first has
// an ID of the same domain and server whose sequence number is no lower. So when
// a new primary has written, replicas reach no position of the one before.
//
// MariaDB has no name for a group of servers that replicate each other: two of
// them whose domains and servers have the same numbers are not told apart.
func (e *Engine) Reached(at, want driver.Position) bool {
	a, ok := parsePosition(at)
	if !ok {
		return false
	}
	w, ok := parsePosition(want)
	if !ok || len(w.written) == 0 {
		return false
	}
	for _, id := range w.written {
		if !slices.ContainsFunc(a.visible, id.within) {
			return false
		}
	}
	return true
}

// position is what a server has. Its text is like mariadb:0-1-270, or where the
// two differ, like mariadb:0-1-270,5-1-12:0-1-268,5-1-12.
type position struct {
	written []gtid // the last of each domain: what others are to have
	visible []gtid // what queries here see, at most
}

// gtid is a global transaction ID of MariaDB.
type gtid struct {
	domain, server uint32
	sequence       uint64
}

func (id gtid) String() string { return fmt.Sprintf("%d-%d-%d", id.domain, id.server, id.sequence) }

// within reports whether a server that has other has this ID.
func (id gtid) within(other gtid) bool {
	return id.domain == other.domain && id.server == other.server && id.sequence <= other.sequence
}

// readPosition reads whether there is a binary log, the server's number, and the
// IDs in its log and those that it has applied.
//
// A replica may write to its log what it replicates, before queries see it. So
// of the log only what began on this server counts as visible. Whether it is a
// replica now does not matter, and accounts without privileges cannot ask.
func readPosition(row []string) (p position, err error) {
	server, err := strconv.ParseUint(row[1], 10, 32)
	if err != nil {
		return position{}, err
	}
	log, err := parseIDs(row[2])
	if err != nil {
		return position{}, err
	}
	applied, err := parseIDs(row[3])
	if err != nil {
		return position{}, err
	}
	p.visible = slices.Clone(applied)
	for _, id := range log {
		if id.server == uint32(server) && !slices.Contains(applied, id) {
			p.visible = append(p.visible, id)
		}
	}
	slices.SortFunc(p.visible, newestFirst)
	if row[0] != "" {
		p.written = log
		for _, id := range applied { // a replica that was promoted may not have logged these
			if !slices.ContainsFunc(log, func(l gtid) bool { return l.domain == id.domain }) {
				p.written = append(p.written, id)
			}
		}
		slices.SortFunc(p.written, newestFirst)
	} else if len(applied) == 0 {
		return position{}, fmt.Errorf("%w: the server has no binary log and has applied none as a replica: "+
			"start a primary with log_bin, and let replicas follow it with MASTER_USE_GTID=slave_pos", tenancy.ErrInvalid)
	}
	return p, nil
}

// newestFirst orders by domain, and within one by descending sequence number.
func newestFirst(a, b gtid) int {
	return cmp.Or(cmp.Compare(a.domain, b.domain), cmp.Compare(b.sequence, a.sequence))
}

const prefix = "mariadb:"

func (p position) text() driver.Position {
	written, visible := join(p.written), join(p.visible)
	if written == visible {
		return driver.Position(prefix + written)
	}
	return driver.Position(prefix + written + ":" + visible)
}

// parsePosition takes what text makes, and nothing else.
func parsePosition(text driver.Position) (p position, ok bool) {
	rest, ok := strings.CutPrefix(string(text), prefix)
	if !ok {
		return position{}, false
	}
	written, visible, two := strings.Cut(rest, ":")
	if !two {
		visible = written
	}
	var err error
	if p.written, err = parseIDs(written); err != nil {
		return position{}, false
	}
	if p.visible, err = parseIDs(visible); err != nil {
		return position{}, false
	}
	return p, p.text() == text
}

func join(ids []gtid) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return strings.Join(texts, ",")
}

// parseIDs reads IDs as the server writes them: none, or several with commas
// between.
func parseIDs(list string) (ids []gtid, err error) {
	if list == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		domain, rest, _ := strings.Cut(text, "-")
		server, sequence, _ := strings.Cut(rest, "-")
		d, err1 := strconv.ParseUint(domain, 10, 32)
		s, err2 := strconv.ParseUint(server, 10, 32)
		n, err3 := strconv.ParseUint(sequence, 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
		ids = append(ids, gtid{uint32(d), uint32(s), n})
	}
	return ids, nil
}

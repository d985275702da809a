package postgres

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

var _ driver.Replication = (*Engine)(nil)

// Server returns what opens connections to the database that the DSN names.
func (e *Engine) Server() (sqldriver.Connector, error) {
	return e.newConnector(e.config.Copy()), nil
}

// askPosition is what readPosition reads. Every role may ask it, unless somebody
// has revoked that.
//
// A primary says how far its log is in memory. How far it is on disk would miss
// what was committed with synchronous_commit off.
//
// A replica does not say on which timeline it is. What it has noted on disk, and
// what it receives, is one that everything replayed so far belongs to the history
// of. What it receives is NULL for a role that may not know.
//
// CASE alone decides which server it is, because a promotion may happen
// meanwhile; and there are no operators, which a role's search_path may change.
const askPosition = `SELECT s.system_identifier, i.max_data_alignment, i.wal_block_size, i.bytes_per_wal_segment,
	CASE WHEN pg_catalog.pg_is_in_recovery() THEN
		(SELECT pg_catalog.concat_ws(' ', 'replica',
				greatest(min_recovery_end_timeline, (SELECT received_tli FROM pg_catalog.pg_stat_get_wal_receiver())),
				pg_catalog.pg_last_wal_replay_lsn())
			FROM pg_catalog.pg_control_recovery())
	ELSE
		(SELECT pg_catalog.concat_ws(' ', 'primary', pg_catalog.pg_walfile_name(lsn), lsn) FROM pg_catalog.pg_current_wal_insert_lsn() lsn)
	END
	FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_init() i`

// Position asks how far the server's write-ahead log is, on a primary, or how
// much of it a replica has replayed.
//
// PostgreSQL sends what an open transaction has written when anybody commits. If
// nobody does, that may take half a minute, and so long a position that was taken
// after it is reached nowhere.
//
// After a failover, a role that has pg_read_all_stats or pg_monitor sees at once
// that a replica follows the new primary. For another the replica stays on the
// old timeline until it is restarted, or makes a restart point, which is due
// after checkpoint_timeout: so long it has reached no position of the new
// primary, and may seem to have reached what the failover has lost.
func (e *Engine) Position(ctx context.Context, conn sqldriver.Conn) (driver.Position, error) {
	c, err := pgxConn(conn)
	if err != nil {
		return "", err
	}
	row, err := queryRow(ctx, c, askPosition, 5)
	if err != nil {
		return "", err
	}
	p, err := readPosition(row)
	if err != nil {
		return "", fmt.Errorf("%w: the server gives its position as %q: %w", tenancy.ErrUnavailable, row, err)
	}
	return p.text(), nil
}

// Reached reports whether both positions are of the same cluster and timeline,
// and the first is not before the other. So nothing has reached a position of
// before a failover after it. Two servers that were promoted from the same
// timeline, each without knowing of the other, may get timelines of the same
// number, and are not told apart.
func (e *Engine) Reached(at, want driver.Position) bool {
	a, ok := parsePosition(at)
	if !ok {
		return false
	}
	w, ok := parsePosition(want)
	return ok && a.system == w.system && a.timeline == w.timeline && a.lsn >= w.lsn
}

// position is a place in the log of a cluster. Its text is like
// pg:7711495774710110331:1:0/79F6E18.
type position struct {
	system   int64
	timeline uint32
	lsn      uint64
}

func (p position) text() driver.Position {
	return driver.Position(fmt.Sprintf("pg:%d:%d:%X/%X", p.system, p.timeline, p.lsn>>32, uint32(p.lsn))) // its lower half
}

// parsePosition takes what text makes, and nothing else.
func parsePosition(text driver.Position) (p position, ok bool) {
	if len(text) > 64 {
		return position{}, false
	}
	part := strings.Split(string(text), ":")
	if len(part) != 4 {
		return position{}, false
	}
	system, err := strconv.ParseInt(part[1], 10, 64)
	if err != nil {
		return position{}, false
	}
	timeline, err := strconv.ParseUint(part[2], 10, 32)
	if err != nil {
		return position{}, false
	}
	lsn, err := parseLSN(part[3])
	p = position{system, uint32(timeline), lsn}
	return p, err == nil && p.text() == text
}

// readPosition reads the server's answer to askPosition.
func readPosition(row []string) (p position, err error) {
	if p.system, err = strconv.ParseInt(row[0], 10, 64); err != nil {
		return position{}, err
	}
	place := strings.Fields(row[4])
	if len(place) != 3 { // a replica that has replayed nothing yet
		return position{}, errors.New("not known yet")
	}
	server, timeline, base := place[0], place[1], 10
	if p.lsn, err = parseLSN(place[2]); err != nil {
		return position{}, err
	}
	if server == "primary" {
		if p.lsn, err = recordEnd(p.lsn, row[1:4]); err != nil {
			return position{}, err
		}
		// The name of a file of the log begins with the timeline.
		timeline, base = timeline[:min(8, len(timeline))], 16
	}
	n, err := strconv.ParseUint(timeline, base, 32)
	p.timeline = uint32(n)
	return p, err
}

// recordEnd returns where the last record before a primary's position ends, given
// the alignment, the size of a page and that of a segment. At the end of a page
// the server names the place of the next record, behind the next page's header,
// and a replica the end of the page: without another record it would never get
// as far.
//
// Source: XLogBytePosToRecPtr and XLogBytePosToEndRecPtr in PostgreSQL's xlog.c,
// XLogPageHeaderData in xlog_internal.h
func recordEnd(lsn uint64, sizes []string) (uint64, error) {
	var n [3]uint64
	for i, size := range sizes {
		var err error
		if n[i], err = strconv.ParseUint(size, 10, 32); err != nil || n[i] == 0 {
			return 0, errors.New("malformed size")
		}
	}
	align, page, segment := n[0], n[1], n[2]
	header := (20 + align - 1) / align * align
	if lsn%segment < page {
		header += 16
	}
	if lsn%page == header {
		lsn -= header
	}
	return lsn, nil
}

// parseLSN reads a place in the log as the server writes it, two numbers of 32
// bits in hexadecimal digits.
func parseLSN(text string) (uint64, error) {
	high, low, _ := strings.Cut(text, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, err
	}
	l, err := strconv.ParseUint(low, 16, 32)
	return h<<32 | l, err
}

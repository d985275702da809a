package mysql

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy/dbpool"
)

func TestFault(t *testing.T) {
	t.Parallel()
	const database, server, unclear = dbpool.FaultDatabase, dbpool.FaultServer, dbpool.FaultUnclear
	tests := map[uint16]dbpool.Fault{
		1030: database, 1033: database, 1034: database, 1044: database, 1049: database, 1054: database,
		1142: database, 1143: database, 1146: database, 1194: database, 1195: database, 1242: database, 1356: database,
		1812: database, 1814: database, 1932: database,
		1040: server, 1043: server, 1045: server, 1053: server, 1079: server, 1129: server, 1130: server,
		1203: server, 1226: server, 1698: server, 1964: server, 3118: server, 4151: server,
		1193: unclear, 1105: unclear, 9999: unclear,
	}
	e := &Engine{}
	for number, want := range tests {
		err := fmt.Errorf("dialing: %w", &mysql.MySQLError{Number: number})
		if got := e.Fault(err); got != want {
			t.Errorf("%d: got %v, want %v", number, got, want)
		}
	}
	for row := range dialFaults {
		if _, ok := tests[row]; !ok {
			t.Errorf("row %d has no test", row)
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, &net.OpError{Err: syscall.ECONNREFUSED}, mysql.ErrInvalidConn} {
		if got := e.Fault(err); got != server {
			t.Errorf("%v: got %v, want %v", err, got, server)
		}
	}
}

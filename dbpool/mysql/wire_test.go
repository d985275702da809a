package mysql

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-sql-driver/mysql"
)

// fakeNet is a connection whose server says what a reader has.
type fakeNet struct {
	net.Conn
	from io.Reader
	to   bytes.Buffer
	fail error // of writing
}

func (f *fakeNet) Read(b []byte) (int, error) { return f.from.Read(b) }

func (f *fakeNet) Write(b []byte) (int, error) {
	if f.fail != nil {
		return len(b) / 2, f.fail
	}
	return f.to.Write(b)
}

const (
	ok      = "\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
	okMore  = "\x07\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00"
	okRows  = "\x07\x00\x00\x01\x00\x01\x00\x02\x00\x00\x00"
	okLate  = "\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"
	okShort = "\x06\x00\x00\x01\x00\x00\x00\x02\x00\x00"
	empty   = "\x00\x00\x00\x01"
	columns = "\x07\x00\x00\x01\x01\x00\x00\x02\x00\x00\x00"
	noDB    = "\x13\x00\x00\x01\xff\x19\x04#42000Unknown db"
	next    = "what is the driver's"
)

// The driver sees nothing of the commands that go before its own, unless one of
// them is answered with anything but OK.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		err        error // io.EOF for any
	}{
		{"all well", ok + ok + next, nil},
		{"an error", ok + noDB + next, &mysql.MySQLError{Number: 1049}},
		{"an error at first", noDB + ok + next, &mysql.MySQLError{Number: 1049}},
		{"nothing", "", io.EOF},
		{"breaks off", ok + ok[:9], io.EOF},
		{"breaks off in a header", ok + ok[:3], io.EOF},
		{"several results", ok + okMore + next, errProtocol},
		{"changed rows", ok + okRows + next, errProtocol},
		{"another number", ok + okLate + next, errProtocol},
		{"a short OK", ok + okShort + next, errProtocol},
		{"an empty packet", ok + empty + next, errProtocol},
		{"rows", ok + columns + next, errProtocol},
		{"a short error", ok + "\x03\x00\x00\x01\xff\x19\x04", errProtocol},
		{"a long packet", ok + "\xff\xff\x00\x01" + strings.Repeat("\x00", 1<<16), errProtocol},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":       func(r io.Reader) io.Reader { return r },
			"byte for byte": iotest.OneByteReader,
		} {
			f := &fakeNet{from: wrap(strings.NewReader(c.says))}
			w := &wire{Conn: f, answered: true}
			w.before(comResetConnection, "")
			w.before(comInitDB, "b")
			if n, err := w.Write([]byte("query")); n != 5 || err != nil || f.to.String() != "\x01\x00\x00\x00\x1f\x02\x00\x00\x00\x02bquery" {
				t.Errorf("%s: got %d, %v, and %q sent", c.name, n, err, f.to.String())
			}
			got := make([]byte, 4096)
			n, err := w.Read(got)
			if c.err == nil {
				for n < len(next) && err == nil {
					var m int
					m, err = w.Read(got[n:])
					n += m
				}
				if err != nil || string(got[:n]) != next {
					t.Errorf("%s, %s: got %q, %v, want what is the driver's", c.name, how, got[:n], err)
				}
				if _, err := w.Write([]byte("query")); err != nil || !strings.HasSuffix(f.to.String(), "bqueryquery") {
					t.Errorf("%s, %s: got %q sent, want what goes before only once", c.name, how, f.to.String())
				}
				continue
			}
			var refused, want *mysql.MySQLError
			if n != 0 || err == nil || errors.Is(c.err, errProtocol) != errors.Is(err, errProtocol) {
				t.Errorf("%s, %s: got %q, %v, want %v", c.name, how, got[:n], err, c.err)
			}
			if errors.As(c.err, &want) && (!errors.As(err, &refused) || refused.Number != want.Number || refused.Message != "Unknown db") {
				t.Errorf("%s, %s: got %v, want the server's error", c.name, how, err)
			}
		}
	}
}

// A write that fails has written none of the driver's bytes, or as many of them as
// came behind what goes before.
func TestWireWriteFails(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	for sent, want := range map[string]int{"q": 0, strings.Repeat("q", 100): 47} {
		w := &wire{Conn: &fakeNet{fail: odd}, answered: true}
		w.before(comInitDB, "b")
		if n, err := w.Write([]byte(sent)); n != want || !errors.Is(err, odd) {
			t.Errorf("%.5q: got %d, %v, want %d", sent, n, err, want)
		}
	}
}

// A connection is plain if the driver's answer to the greeting says so.
func TestWireIsPlain(t *testing.T) {
	t.Parallel()
	for first, plain := range map[string]bool{
		"\x20\x00\x00\x01\x8d\xa2\x0b\x00rest":     true,
		"\x20\x00\x00\x01\x8d\xaa\x0b\x00rest":     false, // TLS
		"\x20\x00\x00\x01\xad\xa2\x0b\x00rest":     false, // compressed
		"\x20\x00\x00\x01\x8d\xa2":                 false,
		"\x20\x00\x00\x01\x8d\xa2\x0b\x00":         true,
		"\x20\x00\x00\x01\xff\xff\xff\xff\x00more": false,
	} {
		w := &wire{Conn: &fakeNet{}}
		for _, b := range []string{first, "\x00\x00\x00\x00\xff\xff\xff\xff"} {
			if _, err := w.Write([]byte(b)); err != nil || w.plain != plain {
				t.Errorf("%q: got plain %t, %v, want %t", first, w.plain, err, plain)
			}
		}
	}
}

// What the server says of a new session decides whether it can be made new again,
// and with which character sets.
func TestReadSession(t *testing.T) {
	t.Parallel()
	const general = "utf8mb4_general_ci"
	for _, c := range []struct {
		name string
		row  []string
		want string // the names, or "no"
	}{
		{"plain", []string{"", "", "0", "utf8mb4", "utf8mb4", general}, ""},
		{"a role of its own", []string{"", "app", "0", "utf8mb4", "utf8mb4", general}, ""},
		{"not MariaDB", nil, "no"},
		{"another number of columns", []string{"", "", "0"}, "no"},
		{"statements at the beginning", []string{"SET @a = 1", "", "0", "utf8mb4", "utf8mb4", general}, "no"},
		{"profiles", []string{"", "", "1", "utf8mb4", "utf8mb4", general}, "no"},
		{
			"latin1", []string{"", "", "0", "latin1", "latin1", "latin1_swedish_ci"},
			"SET character_set_client = latin1, character_set_results = latin1, collation_connection = latin1_swedish_ci",
		},
		{
			"no results", []string{"", "", "0", "utf8mb4", "", general},
			"SET character_set_client = utf8mb4, character_set_results = NULL, collation_connection = utf8mb4_general_ci",
		},
		{
			"client other than connection", []string{"", "", "0", "latin1", "latin1", general},
			"SET character_set_client = latin1, character_set_results = latin1, collation_connection = utf8mb4_general_ci",
		},
	} {
		s := readSession(c.row, general)
		if (s == nil) != (c.want == "no") || s != nil && s.names != c.want {
			t.Errorf("%s: got %+v, want %q", c.name, s, c.want)
		}
		if s != nil && (s.is(c.row) != nil || s.is(append([]string{"x"}, c.row[1:]...)) == nil) {
			t.Errorf("%s: got a session that is not like itself, or is like another", c.name)
		}
	}
}

package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// wire is the connection to the server under one of the driver's. It can send
// commands of the protocol in front of the driver's next one.
type wire struct {
	net.Conn
	answered bool // the driver has answered the server's greeting
	plain    bool // there is neither TLS nor compression

	ahead   []byte // commands that go in front of the driver's next one
	n       int    // how many
	answers int    // how many have been sent and not been answered
}

type wireKey struct{}

// wired returns a dial function that gives the connection to the wire in its
// context.
func wired(dial func(ctx context.Context, network, addr string) (net.Conn, error),
) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		w, ok := ctx.Value(wireKey{}).(*wire)
		if err != nil || !ok {
			return conn, err
		}
		w.Conn = conn
		return w, nil
	}
}

// SyscallConn lets the driver look whether the server has hung up.
func (w *wire) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := w.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// before adds a command to those that go in front of the driver's next one.
func (w *wire) before(command byte, arg string) {
	n := 1 + len(arg)
	w.ahead = append(w.ahead, byte(n), byte(n>>8), byte(n>>16), 0, command)
	w.ahead = append(w.ahead, arg...)
	w.n++
}

// Capabilities of a client, in its answer to the server's greeting.
const (
	clientCompress = 1 << 5
	clientTLS      = 1 << 11
)

// Write sends what goes before at the same time. Of the driver's first packet, its
// answer to the greeting, it takes whether what follows is plain: there are the
// capabilities behind a header of four bytes.
func (w *wire) Write(b []byte) (int, error) {
	if !w.answered {
		w.answered = true
		w.plain = len(b) >= 8 && binary.LittleEndian.Uint32(b[4:])&(clientCompress|clientTLS) == 0
	}
	if w.n == 0 {
		return w.Conn.Write(b)
	}
	ahead := len(w.ahead)
	n, err := w.Conn.Write(append(w.ahead, b...))
	w.ahead, w.n, w.answers = w.ahead[:0], 0, w.n
	return max(0, n-ahead), err
}

// Read keeps the answers to what went before from the driver, and fails if they
// are anything but OK.
func (w *wire) Read(b []byte) (int, error) {
	if w.answers == 0 {
		return w.Conn.Read(b)
	}
	rest, err := w.succeeded()
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 {
		return w.Conn.Read(b)
	}
	if n := copy(b, rest); n < len(rest) {
		return 0, errProtocol // the driver's buffer is larger
	}
	return len(rest), nil
}

// errProtocol says that a server answered something else than expected.
var errProtocol = errors.New("mysql: an unexpected answer of the server")

// maxAnswers bounds the server's answers to what went before, in bytes.
const maxAnswers = 1024

// succeeded reads the answers to what went before, and returns what was read
// behind them.
func (w *wire) succeeded() (rest []byte, err error) {
	rest = make([]byte, 0, maxAnswers)
	for {
		for w.answers > 0 && len(rest) >= 4 {
			size := 4 + (int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16)
			if len(rest) < size {
				break
			}
			if err := answer(rest[3], rest[4:size]); err != nil {
				return nil, err
			}
			rest = rest[size:]
			w.answers--
		}
		if w.answers == 0 {
			return rest, nil
		}
		if len(rest) == cap(rest) {
			return nil, errProtocol
		}
		n, err := w.Conn.Read(rest[len(rest):cap(rest)])
		rest = rest[:len(rest)+n]
		if err != nil {
			return nil, err
		}
	}
}

// What a packet begins with, and a flag of the server's status.
const (
	packetOK    = 0x00
	packetError = 0xff
	moreResults = 1 << 3
)

// answer reads an answer. OK is followed by the number of rows and the last ID,
// which are 0 here, the status of the server and the number of warnings; an error
// by its number and, behind the SQLSTATE, its text.
func answer(sequence byte, body []byte) error {
	switch {
	case sequence != 1 || len(body) == 0:
	case body[0] == packetOK && len(body) >= 7:
		status := binary.LittleEndian.Uint16(body[3:])
		if body[1] == 0 && body[2] == 0 && status&moreResults == 0 {
			return nil
		}
	case body[0] == packetError && len(body) >= 9:
		return &mysql.MySQLError{Number: binary.LittleEndian.Uint16(body[1:]), Message: string(body[9:])}
	}
	return errProtocol
}

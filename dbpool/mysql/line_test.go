package mysql

import (
	"context"
	"net"
	"testing"
	"time"
)

// lineTo returns a line to a server that neither answers nor hangs up.
func lineTo(t *testing.T) *line {
	t.Helper()
	server, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		<-t.Context().Done()
		_ = conn.Close()
	}()
	conn, err := lines(context.Background(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*line)
}

// Whoever reads from a line that is closed does not wait for the server, whichever
// comes first.
func TestLineClosed(t *testing.T) {
	t.Parallel()
	for what, order := range map[string]func(l *line, read chan error){
		"read, then close": func(l *line, read chan error) {
			go func() { read <- readFrom(l) }()
			for reading := false; !reading; { // until it waits
				l.mu.Lock()
				reading = l.reading
				l.mu.Unlock()
			}
			_ = l.Close()
		},
		"close, then read": func(l *line, read chan error) {
			_ = l.Close()
			go func() { read <- readFrom(l) }()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := lineTo(t)
			read := make(chan error, 1)
			order(l, read)
			select {
			case err := <-read:
				if err == nil {
					t.Error("got an answer, want an error")
				}
			case <-time.After(time.Minute):
				t.Error("still reads")
			}
			select {
			case <-l.ended:
				t.Error("ended, though the server has not hung up")
			default:
			}
		})
	}
}

func readFrom(l *line) error {
	_, err := l.Read(make([]byte, 1))
	return err
}

// The end of a context ends what is being read.
func TestLineDeadline(t *testing.T) {
	t.Parallel()
	l := lineTo(t)
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	stop := l.deadline(ctx, 0)
	cancel()
	if err := readFrom(l); err == nil {
		t.Error("got an answer, want an error")
	}
	stop()
}

package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// server is one that listens.
type server struct {
	addr string
	http *http.Server
}

// listenAt serves the handler at the address; without one at the usual one, or at a free port if another process has that.
func listenAt(ctx context.Context, addr, usual string, h http.Handler) (*server, error) {
	s, err := listen(ctx, cmp.Or(addr, usual), h)
	if addr == "" && errors.Is(err, syscall.EADDRINUSE) {
		return listen(ctx, "127.0.0.1:0", h)
	}
	return s, err
}

// listen serves the handler at the address, until stop is called.
func listen(ctx context.Context, addr string, h http.Handler) (*server, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &server{ln.Addr().String(), &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}}
	go func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			slog.ErrorContext(ctx, "serving ended", "addr", s.addr, "error", err)
		}
	}()
	return s, nil
}

// stop lets the requests in flight finish, and cuts off streams, which do not end by themselves.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // a stream
	}
}

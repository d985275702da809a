package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// welcome is printed on start, with the address and the port.
const welcome = `Listening on http://%[1]s with the tenants acme and globex. Try:

  curl -i http://acme.localhost:%[2]d/notes -d '{"text": "by subdomain"}'
  curl -i http://%[1]s/t/globex/notes -d '{"text": "by path"}'
  curl -i http://%[1]s/notes -H 'X-Tenant: acme'
  curl -i http://acme.localhost:%[2]d/notes -H 'X-Tenant: globex'   # they disagree: 400
  curl -i http://nobody.localhost:%[2]d/notes                      # unknown: 404

`

// serve listens until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, addr string, h http.Handler) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf(welcome, ln.Addr(), ln.Addr().(*net.TCPAddr).Port)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*time.Second)
		defer cancel()
		err := srv.Shutdown(end)
		if errors.Is(err, context.DeadlineExceeded) { // a client that holds a connection and asks nothing
			err = srv.Close()
		}
		done <- err
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

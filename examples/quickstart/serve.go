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

  # Named by subdomain, by path, by header.
  curl -i acme.localhost:%[2]d/notes -H "X-API-Key: $acme" -d '{"text": "by subdomain"}'
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $globex" -d '{"text": "by path"}'
  curl -i %[1]s/notes -H 'X-Tenant: acme'
  # Globex does not let everybody read: 401. Nor is another tenant's key one: 401.
  curl -i %[1]s/t/globex/notes
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $acme"
  # They disagree: 400. Unknown: 404.
  curl -i acme.localhost:%[2]d/notes -H 'X-Tenant: globex'
  curl -i nobody.localhost:%[2]d/notes
  # Maintenance for five minutes, but for who opens the link that this prints: 503.
  curl -X POST %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"
  curl -i acme.localhost:%[2]d/notes
  curl -X DELETE %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"
  # Too fast: 429.
  for i in $(seq 40); do curl -so /dev/null -w '%%{http_code} ' acme.localhost:%[2]d/notes; done

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

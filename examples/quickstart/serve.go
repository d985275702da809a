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

  curl -i acme.localhost:%[2]d/notes -H "X-API-Key: $acme" -d '{"text": "by subdomain"}'
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $globex" -d '{"text": "by path"}'
  curl -i %[1]s/notes -H 'X-Tenant: acme'                         # Acme lets everybody read
  curl -i %[1]s/t/globex/notes                                    # Globex does not: 403
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $acme"              # another tenant's key: 401
  curl -i acme.localhost:%[2]d/notes -H 'X-Tenant: globex'           # they disagree: 400
  curl -i nobody.localhost:%[2]d/notes                               # unknown: 404

  curl -X POST %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"
  curl -i acme.localhost:%[2]d/notes                                 # for five minutes: 503
  curl -X DELETE %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"

  for i in $(seq 40); do curl -so /dev/null -w '%%{http_code} ' acme.localhost:%[2]d/notes; done   # too fast: 429

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

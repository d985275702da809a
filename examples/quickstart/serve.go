package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// welcome is printed on start, with the address and the port. Every line can be
// pasted into a shell, zsh too, which knows no comments: a colon does nothing.
const welcome = `Listening on http://%[1]s with the tenants acme and globex. Try:

  : "Named by subdomain, by path, by header."
  curl -i acme.localhost:%[2]d/notes -H "X-API-Key: $acme" -d '{"text": "by subdomain"}'
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $globex" -d '{"text": "by path"}'
  curl -i %[1]s/notes -H 'X-Tenant: acme'
  : "Globex does not let everybody read: 401. The key of another tenant is none: 401."
  curl -i %[1]s/t/globex/notes
  curl -i %[1]s/t/globex/notes -H "X-API-Key: $acme"
  : "They disagree: 400. Unknown: 404."
  curl -i acme.localhost:%[2]d/notes -H 'X-Tenant: globex'
  curl -i nobody.localhost:%[2]d/notes
  : "Maintenance for five minutes: 503. A browser that opens the link which this prints is served at %[1]s/t/acme/ all the same."
  curl -X POST %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"
  curl -i %[1]s/t/acme/notes
  curl -X DELETE %[1]s/ops/maintenance/acme -H "Authorization: Bearer $operator"
  : "Too fast: 429, after 30 at once and 30 a minute."
  while c=$(curl -so /dev/null -w '%%{http_code}' acme.localhost:%[2]d/notes); [ $c = 200 ]; do printf .; done; echo $c

The name acme.localhost leads here in curl and browsers. Other programs may not know it: they take the path.

`

// serve serves until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	fmt.Printf(welcome, ln.Addr(), ln.Addr().(*net.TCPAddr).Port)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
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

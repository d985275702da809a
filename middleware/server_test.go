package middleware_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// chain is every middleware of the package that a request of a tenant passes.
func chain(h http.Handler) http.Handler {
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	h = middleware.Require(quiet)(h)
	h = tenancy.Must(middleware.Optional(find, tenancy.Must(resolver.Agree(find, bySubdomain, byPath)), quiet))(h)
	return tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(h)
}

// serve starts a server and returns what connects to it and sends a text.
func serve(t *testing.T, h http.Handler) (send func(request string) (net.Conn, *bufio.Reader)) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return func(request string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil { // against hanging
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
}

func wantLine(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	if got, err := from.ReadString('\n'); strings.TrimSpace(got) != want {
		t.Fatalf("got the line %q, %v, want %q", got, err, want)
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	send := serve(t, chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		select {
		case <-proceed: // the client has it
		case <-r.Context().Done():
		}
		fmt.Fprintln(w, "second")
	})))
	_, from := send("GET / HTTP/1.1\r\nHost: acme.example.com\r\n\r\n")
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := bufio.NewReader(res.Body)
	wantLine(t, body, "first")
	close(proceed)
	wantLine(t, body, "second")
}

func TestHijack(t *testing.T) {
	t.Parallel()
	send := serve(t, chain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		defer conn.Close()
		if _, ok := w.(http.Hijacker); !ok {
			t.Errorf("got a %T, want one that is a Hijacker itself", w)
		}
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		fmt.Fprint(rw, "echo ", line)
		if err := rw.Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
	})))
	_, from := send("GET / HTTP/1.1\r\nHost: acme.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
	for _, want := range []string{"HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: echo", "", "echo hello"} {
		wantLine(t, from, want)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	send := serve(t, chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetReadDeadline(time.Unix(1, 0)), rc.SetWriteDeadline(time.Now().Add(time.Hour)), rc.EnableFullDuplex()); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		_, err := io.ReadAll(r.Body)
		fmt.Fprintln(w, errors.Is(err, os.ErrDeadlineExceeded))
	})))
	_, from := send("POST / HTTP/1.1\r\nHost: acme.example.com\r\nContent-Length: 5\r\n\r\nab") // and no more
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wantLine(t, bufio.NewReader(res.Body), "true")
}

// writer is a response writer that is nothing else.
type writer struct{ http.ResponseWriter }

func TestTheWriterIsPassedOnAsItIs(t *testing.T) {
	t.Parallel()
	want := &writer{httptest.NewRecorder()}
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	calls := 0
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		if w != want {
			t.Errorf("got a %T, want the writer itself", w)
		}
	})
	chain(next).ServeHTTP(want, get("http://acme.example.com/"))
	central := tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(middleware.CentralOnly(quiet)(next))
	central.ServeHTTP(want, get("http://example.com/"))
	if calls != 2 {
		t.Errorf("got %d calls, want 2", calls)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	send := serve(t, chain(&spy{}))
	for _, tt := range []struct{ accept, want string }{{"*/*", "application/problem+json"}, {"text/html", "text/html; charset=utf-8"}} {
		_, from := send("HEAD / HTTP/1.1\r\nHost: ghost.example.com\r\nAccept: " + tt.accept + "\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(got), "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 404 ") || !strings.Contains(head, "\r\nContent-Type: "+tt.want) || body != "" {
			t.Errorf("got %q and then %q, want a head with %s alone", head, body, tt.want)
		}
	}
}

// A client that is refused may use the connection again, with its body unread.
func TestRefusedWithABody(t *testing.T) {
	t.Parallel()
	conn, from := serve(t, chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))("POST / HTTP/1.1\r\nHost: ghost.example.com\r\nContent-Length: 5\r\n\r\nfirst")
	for i, want := range []int{http.StatusNotFound, http.StatusOK} {
		res, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want || i == 1 && string(body) != "second" {
			t.Errorf("answer %d: got %d %q, %v, want %d", i, res.StatusCode, body, err, want)
		}
		if i == 0 {
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: acme.example.com\r\nContent-Length: 6\r\n\r\nsecond")
		}
	}
}

func TestPanicsPassThrough(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	for _, want := range []any{http.ErrAbortHandler, "planted", errOdd} {
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(want) })
		for target, h := range map[string]http.Handler{
			"http://acme.example.com/": chain(next),
			"/t/acme":                  tenancy.Must(middleware.Tenant(find, byPath, quiet))(next),
			"http://example.com/":      tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(middleware.CentralOnly(quiet)(next)),
		} {
			w := httptest.NewRecorder()
			func() {
				defer func() {
					if got := recover(); got != want {
						t.Errorf("%s: got a panic with %v, want %v", target, got, want)
					}
				}()
				h.ServeHTTP(w, get(target))
			}()
			if w.Body.Len() != 0 || len(w.Header()) != 0 {
				t.Errorf("%s: got %v %q, want nothing written", target, w.Header(), w.Body)
			}
		}
	}
}

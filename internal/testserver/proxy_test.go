//go:build unix

package testserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// counter answers each line with how many lines have come to it.
func counter(t *testing.T) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	lines := make(chan chan int)
	go func() {
		for n := 1; ; n++ {
			select {
			case to := <-lines:
				to <- n
			case <-t.Context().Done():
				return
			}
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for s := bufio.NewScanner(conn); s.Scan(); {
					n := make(chan int)
					lines <- n
					_, _ = fmt.Fprintln(conn, <-n)
				}
			}()
		}
	}()
	return l.Addr().String()
}

type client struct {
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, addr string) client {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return client{conn, bufio.NewReader(conn)}
}

// ask sends a line, and returns the answer, which may take until a time.
func (c client) ask(until time.Duration) (string, error) {
	if _, err := fmt.Fprintln(c, "?"); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(until))
	return c.answers.ReadString('\n')
}

func TestProxy(t *testing.T) {
	t.Parallel()
	proxy, err := testserver.StartProxy(counter(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	want := func(c client, what, answer string) {
		t.Helper()
		if got, err := c.ask(time.Minute); err != nil || got != answer+"\n" {
			t.Errorf("%s: got %q, %v, want %s", what, got, err, answer)
		}
	}
	a := dial(t, proxy.Addr)
	want(a, "at first", "1")

	proxy.InjectOpen(testserver.Fault{Silent: true})
	if got, err := a.ask(50 * time.Millisecond); err == nil {
		t.Errorf("silent: got %q, want no answer", got)
	}
	b := dial(t, proxy.Addr)
	want(b, "a new connection beside a silent one", "2")

	proxy.Inject(testserver.Fault{Hush: true})
	if got, err := b.ask(50 * time.Millisecond); err == nil {
		t.Errorf("hushed: got %q, want no answer", got)
	}
	c := dial(t, proxy.Addr)
	if got, err := c.ask(50 * time.Millisecond); err == nil {
		t.Errorf("a new connection, hushed: got %q, want no answer", got)
	}

	proxy.Inject(testserver.Fault{Delayed: time.Hour})
	d := dial(t, proxy.Addr)
	time.AfterFunc(10*time.Millisecond, func() { proxy.Inject(testserver.Fault{}) })
	if got, err := d.ask(time.Minute); err != nil || got == "" {
		t.Errorf("delayed until the fault ends: got %q, %v", got, err)
	}

	proxy.InjectOpen(testserver.Fault{Cut: true})
	if got, err := d.ask(time.Minute); err == nil {
		t.Errorf("cut: got %q, want the end", got)
	}
	e := dial(t, proxy.Addr)
	proxy.Stop()
	if _, err := e.answers.ReadByte(); err != io.EOF { //nolint:errorlint // exactly that
		if err == nil {
			t.Error("stopped: got an answer")
		}
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := dial(t, proxy.Addr).ask(time.Minute); err != nil || got == "" {
		t.Errorf("started again: got %q, %v", got, err)
	}
}

// A connection that is made while a fault ends does not keep the fault.
func TestFaultsEndForAll(t *testing.T) {
	t.Parallel()
	proxy, err := testserver.StartProxy(counter(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	for range 300 {
		proxy.Inject(testserver.Fault{Delayed: time.Hour})
		var ended sync.WaitGroup
		ended.Go(func() { proxy.Inject(testserver.Fault{}) })
		c := dial(t, proxy.Addr)
		ended.Wait()
		if got, err := c.ask(time.Minute); err != nil || got == "" {
			t.Fatalf("got %q, %v, want an answer", got, err)
		}
		_ = c.Close()
	}
}

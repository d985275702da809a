package testserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// DialingRedis returns a client of Redis that is dialing, on behalf of a caller who waits without end, until the test
// ends. Callers that come later wait for the same dial.
func DialingRedis(t testing.TB) rueidis.Client {
	t.Helper()
	ready, dialing, ended := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"redis.invalid:6379"}, ForceSingleClient: true, DisableCache: true,
		DialCtxFn: func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
			select {
			case <-ready:
				select {
				case dialing <- struct{}{}:
				default:
				}
				<-ended
			default: // NewClient's own, which may fail
			}
			return nil, errors.New("no server")
		},
	})
	if client == nil {
		t.Fatal(err)
	}
	close(ready)
	waits := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		defer close(waits)
		_ = client.Do(ctx, client.B().Ping().Build())
	}()
	t.Cleanup(func() {
		cancel()
		close(ended)
		client.Close()
		<-waits
	})
	<-dialing
	return client
}

// WantReturn fails the test unless the call returns within minutes of the end of its context. It returns the call's
// error.
func WantReturn(t testing.TB, what string, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	time.AfterFunc(50*time.Millisecond, cancel) // when the call most likely waits for Redis
	select {
	case err := <-done:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s: got no answer within 2 minutes of the end of its context", what)
		return nil
	}
}

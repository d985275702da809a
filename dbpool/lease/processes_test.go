//go:build unix

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// processEnv is set for the child processes of TestProcesses, to the address of
// the server that they share connections to.
const processEnv = "LEASE_TEST_SERVER"

const (
	processTotal = 5
	exitTooLate  = 3
)

func TestMain(m *testing.M) {
	if server := os.Getenv(processEnv); server != "" {
		if err := process(server); errors.Is(err, errTooLate) {
			os.Exit(exitTooLate)
		} else if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestProcesses shares real connections among three processes, of which one is
// killed now and then. The server counts as many as there may be, and never more.
func TestProcesses(t *testing.T) {
	t.Parallel()
	for ttl := testTTL; ttl <= time.Minute; ttl *= 2 { // longer loans on a machine that is slow
		s := newCounter(t)
		inTime := s.runProcesses(t, ttl)
		most := s.most.Load()
		if inTime && most > processTotal {
			t.Fatalf("the server counted up to %d connections, want %d", most, processTotal)
		}
		if inTime && most == processTotal {
			return
		}
		t.Logf("in time: %v; the server counted up to %d connections", inTime, most)
	}
	t.Error("processes did not renew in time, or did not get all connections")
}

// runProcesses reports whether all processes renewed in time, for three times as long
// as a loan lasts.
func (s *counter) runProcesses(t *testing.T, ttl time.Duration) bool {
	t.Helper()
	_, ns := tenancytest.Redis(t)
	begin := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), processEnv+"="+s.Addr().String(), "LEASE_TEST_NAMESPACE="+ns, "LEASE_TEST_TTL="+ttl.String())
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	all := []*exec.Cmd{begin(), begin(), begin()}
	for range 3 {
		time.Sleep(ttl * 3 / 4)
		i := rand.IntN(len(all))
		_ = all[i].Process.Kill()
		_ = all[i].Wait()
		all[i] = begin()
	}
	inTime := true
	for _, cmd := range all {
		err := cmd.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitTooLate {
			inTime = false
		} else if err != nil {
			t.Errorf("process: %v", err)
		}
	}
	return inTime
}

// counter is a server that counts its connections.
type counter struct {
	net.Listener
	now, most atomic.Int64
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &counter{Listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

// serve counts a connection, says so, and counts it until the other side closes
// its half.
func (s *counter) serve(conn net.Conn) {
	defer conn.Close()
	now := s.now.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	_, _ = conn.Write([]byte{1})
	_, _ = io.Copy(io.Discard, conn)
	s.now.Add(-1)
}

var errTooLate = errors.New("held connections beyond the loan")

// process is an instance in a process of its own.
func process(server string) error {
	client, err := rueidis.NewClient(rueidis.MustParseURL(os.Getenv(tenancytest.RedisEnv)))
	if err != nil {
		return err
	}
	defer client.Close()
	ttl, err := time.ParseDuration(os.Getenv("LEASE_TEST_TTL"))
	if err != nil {
		return err
	}
	lender, err := lease.NewRedis(client, os.Getenv("LEASE_TEST_NAMESPACE"), &lease.Options{TTL: ttl})
	if err != nil {
		return err
	}
	var (
		conns []net.Conn
		ends  time.Time
	)
	for end := time.Now().Add(3 * ttl); time.Now().Before(end); time.Sleep(rand.N(10 * time.Millisecond)) {
		if conns, err = hold(server, conns, rand.IntN(len(conns)+1)); err != nil {
			return err
		}
		began := time.Now()
		want := rand.IntN(2 * processTotal)
		loan, err := lender.Borrow(context.Background(), dbpool.BorrowRequest{Server: server, Total: processTotal, Keep: len(conns), Want: want})
		if err != nil {
			return err
		}
		if len(conns) > 0 && time.Now().After(ends) {
			return errTooLate
		}
		ends = began.Add(loan.For)
		if conns, err = hold(server, conns, loan.Granted); err != nil {
			return err
		}
		if time.Now().After(ends) {
			return errTooLate
		}
	}
	_, err = hold(server, conns, 0)
	return err
}

// hold dials or closes until there are n connections. What it has closed the
// server does not count any more.
func hold(server string, conns []net.Conn, n int) ([]net.Conn, error) {
	for len(conns) < n {
		conn, err := net.Dial("tcp4", server)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			return conns, err
		}
	}
	for len(conns) > n {
		conn := conns[len(conns)-1].(*net.TCPConn)
		conns = conns[:len(conns)-1]
		if err := conn.CloseWrite(); err != nil {
			return conns, err
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	return conns, nil
}

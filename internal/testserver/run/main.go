//go:build unix

// Command run runs another command while a PostgreSQL, a MariaDB and a Redis
// server of its own are up:
//
//	go run ./internal/testserver/run -- go test ./...
//
// The command finds the servers' addresses in the environment variables
// TENANCY_TEST_POSTGRES, TENANCY_TEST_MYSQL and TENANCY_TEST_REDIS;
// TENANCY_TEST_REQUIRE=1 tells it that a test must not be skipped for want of a
// server. Its exit code becomes run's own, 128 plus the number of the signal if
// one ended it.
//
// With the argument up it starts the servers and leaves them running, with down
// it stops those. Up writes the environment to .services/env, in a form that a
// shell reads.
//
// The command's TMPDIR is a folder that run removes in the end, with all that the
// command left there. What a run left that was killed, the next one removes.
//
// Missing servers are installed with apt-get, if there is one and run is root. The
// servers that Debian would start then, on the standard ports, are not started.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: run -- command [argument ...]
       run up
       run down
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	// The channel keeps a signal that comes while nobody looks.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go watchParent()

	code, err := dispatch(ctx, args, signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		code = max(code, 1)
	}
	return code
}

func dispatch(ctx context.Context, args []string, signals <-chan os.Signal) (int, error) {
	switch {
	case len(args) > 1 && args[0] == "--":
		return around(ctx, args[1:], signals)
	case len(args) == 1 && args[0] == "up":
		return 0, up(ctx, servicesDir, engines())
	case len(args) == 1 && args[0] == "down":
		return 0, down(servicesDir)
	}
	fmt.Fprint(os.Stderr, usage)
	return 2, nil
}

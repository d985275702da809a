//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// around runs a command between the start and the end of the servers, and
// returns its exit code.
func around(ctx context.Context, argv []string, signals <-chan os.Signal) (code int, err error) {
	if err := install(ctx); err != nil {
		return 1, err
	}
	dir, err := newFolder()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, dir.remove()) }()
	servers, err := startAll(ctx, dir.path, engines(), nil)
	defer func() { err = errors.Join(err, stopAll(servers)) }()
	if err != nil {
		return 1, err
	}
	return runCommand(argv, append(environment(servers), "TMPDIR="+dir.temp), signals)
}

// startAll starts a server of each of the engines in dir. It returns those that it
// has started, also after an error.
func startAll(ctx context.Context, dir string, engines []testserver.Engine, opts *testserver.Options) ([]*testserver.Server, error) {
	var servers []*testserver.Server
	for _, engine := range engines {
		s, err := testserver.Start(ctx, engine, dir, opts)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func stopAll(servers []*testserver.Server) error {
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

func engines() []testserver.Engine {
	return []testserver.Engine{testserver.Postgres, testserver.MariaDB, testserver.Redis}
}

// environment returns the variables that tell tests about the servers.
func environment(servers []*testserver.Server) []string {
	names := map[testserver.Engine]string{
		testserver.Postgres: "TENANCY_TEST_POSTGRES",
		testserver.MariaDB:  "TENANCY_TEST_MYSQL",
		testserver.Redis:    "TENANCY_TEST_REDIS",
	}
	env := []string{"TENANCY_TEST_REQUIRE=1"}
	for _, s := range servers {
		env = append(env, fmt.Sprintf("%s=%s", names[s.Engine], s.URL))
	}
	return env
}

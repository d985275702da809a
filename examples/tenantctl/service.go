package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// exampleServer is the name of the server in a catalog that this program makes without --migrations: only there the files of the example and
// its API keys are used without being asked for, so that they never get into the databases of a service.
const exampleServer = "example"

// service is what this program must know of the service whose catalog it opens.
type service struct {
	server     string // the name by which the service knows the server of tenants' databases
	migrations fs.FS  // nil: unknown
	keyPrefix  string // empty: unknown
}

// filesOf are the commands that use the migrations, serversOf those that go to tenants' databases, and makes those that make a new catalog.
// The name of a group stands for its commands.
var (
	filesOf   = []string{"tenant create", "tenant adopt", "db migrate", "db status", "db rollback", "db redo", "db fresh", "db resume", "db mark"}
	serversOf = []string{"tenant create", "tenant adopt", "tenant purge", "db", "doctor"}
	keysOf    = []string{"apikey issue", "apikey rotate"}
	makes     = []string{"tenant create", "tenant adopt"}
)

// does reports whether the command is one of these. Without a command everything is done.
func (w places) does(these []string) bool {
	return w.command == "" || slices.ContainsFunc(these, func(one string) bool { return w.command == one || strings.HasPrefix(w.command, one+" ") })
}

// exists reports whether there is a catalog. Without a file for it, only a command that makes tenants may go on.
func (w places) exists() (bool, error) {
	if w.catalog != "" {
		return true, nil
	}
	file := filepath.Join(w.data, "catalog.db")
	_, err := os.Stat(file)
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case !w.does(makes):
		return false, fmt.Errorf("%w: there is no catalog %s; \"tenant create\" makes one, --data and --catalog say where another is", tenancy.ErrNotFound, file)
	}
	return false, nil
}

// serviceOf finds out about the service by what the flags say and by the records of its tenants. made is whether the catalog is new.
func (w places) serviceOf(ctx context.Context, cat *catalog.Catalog, made bool) (s service, err error) {
	s = service{server: w.serverName, keyPrefix: w.keyPrefix}
	facets, err := cat.Facets(ctx, tenancy.Filter{})
	if err != nil {
		return s, err
	}
	names := slices.Sorted(maps.Keys(facets.Server))
	switch {
	case s.server != "":
	case len(names) > 1:
		return s, fmt.Errorf("%w: tenants are on the servers %s: give --server-name for the one that --server is", tenancy.ErrInvalid, strings.Join(names, ", "))
	case len(names) == 1:
		s.server = names[0]
		if w.does(serversOf) {
			err = w.holds(ctx, cat, s.server)
		}
	case made && w.migrations == "":
		s.server = exampleServer
		w.note("Made a catalog for the example: its server is called %q, and its migrations are those of the example.", s.server)
	case made:
		s.server = "main"
		w.note("Made a catalog: its server is called %q, unless --server-name says otherwise.", s.server)
	case w.does(serversOf):
		return s, fmt.Errorf("%w: no tenant says yet how the service calls the server: give --server-name (or --server-name %s for that of the example)", tenancy.ErrInvalid, exampleServer)
	default:
		s.server = "unknown"
	}
	if err != nil {
		return s, err
	}
	switch {
	case w.migrations != "":
		s.migrations = os.DirFS(w.migrations)
	case s.server == exampleServer:
		s.migrations, err = fs.Sub(embedded, "migrations")
	case w.does(filesOf) && w.command != "":
		return s, fmt.Errorf("%w: give --migrations, the folder with the migrations of the service on server %q", tenancy.ErrInvalid, s.server)
	}
	if s.keyPrefix == "" && s.server == exampleServer {
		s.keyPrefix = "key"
	}
	if s.keyPrefix == "" && w.does(keysOf) && w.command != "" {
		return s, fmt.Errorf("%w: give --key-prefix, with which the service accepts API keys", tenancy.ErrInvalid)
	}
	return s, err
}

// looked is how many tenants' databases are looked for.
const looked = 100

// holds returns an error if tenants' databases are not where the flags say, as far as that is known without asking a server: a tenant whose
// database is elsewhere must not be purged here.
func (w places) holds(ctx context.Context, cat *catalog.Catalog, server string) error {
	if w.server != "" {
		return nil
	}
	some, err := cat.List(ctx, tenancy.Filter{Limit: looked})
	if err != nil {
		return err
	}
	for _, t := range some {
		if _, err := os.Stat(filepath.Join(w.data, "tenants", t.Placement.Database+".db")); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: give --server, the URL of the server %q of tenants' databases (or --server-name, if they are files in --data)", tenancy.ErrInvalid, server)
}

// noFiles is the migrator without --migrations: a creation that was cut off is not resumed without its files.
type noFiles struct{}

func (noFiles) Up(context.Context, *tenancy.Tenant) error {
	return fmt.Errorf("%w: give --migrations, the folder with the migrations of the service", tenancy.ErrInvalid)
}

// note writes a line beside the results.
func (w places) note(format string, args ...any) {
	if w.notes != nil {
		fmt.Fprintf(w.notes, format+"\n", args...)
	}
}

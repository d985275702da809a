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

// filesOf are the commands that use the migrations, serversOf those that go to tenants' databases, runsOf those that work on a run whatever its
// task is, and makes those that make a new catalog. The name of a group stands for its commands.
var (
	filesOf   = []string{"tenant create", "tenant adopt", "db migrate", "db status", "db rollback", "db redo", "db fresh", "db resume", "db mark", halfMade}
	serversOf = []string{"tenant create", "tenant adopt", "tenant purge", "db", "doctor"}
	runsOf    = []string{"run plan", "run start", "run resume", "run retry"}
	keysOf    = []string{"apikey issue", "apikey rotate"}
	makes     = []string{"tenant create", "tenant adopt"}
)

// halfMade is the command doctor when it resumes creations.
const halfMade = "doctor --mend half-made"

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
	var missing error
	if s.server == "" {
		s.server, missing, err = w.serverOf(ctx, cat, made)
	} else {
		missing, err = w.holds(ctx, cat, s.server)
	}
	if err != nil {
		return s, err
	}
	if missing != nil && (w.does(serversOf) || w.migrations != "" && w.does(runsOf)) {
		return s, missing
	}
	switch {
	case missing != nil: // without migrations: a command that works on its own run works on all that it has the task of
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

// unknown is the name of the server if nothing says it.
const unknown = "unknown"

// serverOf returns the name of the server, and as missing which flag must be given before anything is done in tenants' databases.
func (w places) serverOf(ctx context.Context, cat *catalog.Catalog, made bool) (name string, missing, err error) {
	facets, err := cat.Facets(ctx, tenancy.Filter{})
	if err != nil {
		return "", nil, err
	}
	names := slices.Sorted(maps.Keys(facets.Server))
	switch len(names) {
	case 0:
	case 1:
		missing, err = w.holds(ctx, cat, names[0])
		return names[0], missing, err
	default:
		return unknown, fmt.Errorf("%w: tenants are on the servers %s: give --server-name for the one that --server is", tenancy.ErrInvalid, strings.Join(names, ", ")), nil
	}
	own, err := w.own(ctx, cat, made)
	switch {
	case err != nil:
		return "", nil, err
	case !own:
		return unknown, fmt.Errorf("%w: no tenant says yet how the service calls the server: give --server-name (or --server-name %s for that of the example)", tenancy.ErrInvalid, exampleServer), nil
	case w.migrations == "":
		name = exampleServer
		if made {
			w.note("Made a catalog for the example: its server is called %q, and its migrations are those of the example.", name)
		}
	default:
		name = "main"
		if made {
			w.note("Made a catalog: its server is called %q, unless --server-name says otherwise.", name)
		}
	}
	return name, nil, nil
}

// own reports whether this program made the catalog, now or before. A file beside the catalog holds the namespace of the one that it made.
func (w places) own(ctx context.Context, cat *catalog.Catalog, made bool) (bool, error) {
	if w.catalog != "" {
		return made, nil
	}
	namespace, err := cat.Namespace(ctx)
	if err != nil {
		return false, err
	}
	file := filepath.Join(w.data, "tenantctl.catalog")
	if made {
		return true, os.WriteFile(file, []byte(namespace), 0o600)
	}
	was, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return string(was) == namespace, err
}

// looked is how many tenants' databases are looked for.
const looked = 100

// holds returns as missing which flag must be given if tenants' databases are not where the flags say, as far as that is known without asking a
// server: a tenant whose database is elsewhere must not be purged here.
func (w places) holds(ctx context.Context, cat *catalog.Catalog, server string) (missing, err error) {
	if w.server != "" {
		return nil, nil
	}
	some, err := cat.List(ctx, tenancy.Filter{Server: server, Limit: looked})
	if err != nil || len(some) == 0 {
		return nil, err
	}
	for _, t := range some {
		if _, err := os.Stat(filepath.Join(w.data, "tenants", t.Placement.Database+".db")); err == nil {
			return nil, nil
		}
	}
	return fmt.Errorf("%w: give --server, the URL of the server %q of tenants' databases (or --server=%s, if they are files in --data)", tenancy.ErrInvalid, server, filesServer), nil
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

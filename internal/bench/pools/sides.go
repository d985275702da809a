//go:build unix

package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// side is one way to reach the tenants' databases.
type side interface {
	// with runs fn with the tenant's database, when its turn has come.
	with(ctx context.Context, t *tenancy.Tenant, fn func(*sqlx.DB) error) error
	// note is what the side has to say after a run.
	note() string
	close()
}

// newSide returns a side that has no connection yet.
func (g *ground) newSide(ctx context.Context, name string, budget int) (side, error) {
	kind, settings, _ := strings.Cut(name, ":")
	switch kind {
	case "dbpool":
		opts, err := poolOptions(settings, budget)
		if err != nil {
			return nil, err
		}
		pool, err := dbpool.New(map[string]driver.Engine{"main": g.engine}, opts)
		return &ours{pool}, err
	case "pgbouncer":
		return g.startBouncer(ctx, budget, settings)
	case "naive": // what database/sql gives: pools that know nothing of each other
		return &perTenant{idle: 2, open: func(database string) (*sqlx.DB, error) { return g.openPlain(database, false) }}, nil
	case "bare": // no budget over all: connections stay with their tenant
		each := max(1, budget/min(len(g.tenants), budget))
		return &perTenant{idle: each, most: each, open: func(database string) (*sqlx.DB, error) { return g.openPlain(database, false) }}, nil
	default:
		// No connection serves twice, so there is nothing to prepare on it.
		return &perTenant{
			idle: -1, slots: make(chan struct{}, budget),
			open: func(database string) (*sqlx.DB, error) { return g.openPlain(database, true) },
		}, nil
	}
}

// poolOptions are dbpool's, with settings such as MaxConns=1;MaxDials=2.
func poolOptions(settings string, budget int) (*dbpool.Options, error) {
	opts := &dbpool.Options{Budget: budget, MaxWait: 30 * time.Second, MaxQueue: 10_000}
	byName := map[string]*int{"MaxConns": &opts.MaxConns, "MaxDials": &opts.MaxDials, "MinIdle": &opts.MinIdle}
	for setting := range strings.FieldsFuncSeq(settings, func(r rune) bool { return r == ';' }) {
		name, value, _ := strings.Cut(setting, "=")
		n, err := strconv.Atoi(value)
		if err != nil || byName[name] == nil {
			return nil, fmt.Errorf("dbpool has no setting %q", setting)
		}
		*byName[name] = n
	}
	return opts, nil
}

// ours is dbpool.
type ours struct{ pool *dbpool.Pool }

func (s *ours) with(ctx context.Context, t *tenancy.Tenant, fn func(*sqlx.DB) error) error {
	db, err := s.pool.For(ctx, t)
	if err != nil {
		return err
	}
	return fn(db)
}

func (s *ours) note() string {
	st := s.pool.Stat("main")
	return fmt.Sprintf("dials/request %.2f, switches %.2f", st.DialsPerRequest(), float64(st.Switches)/float64(max(1, st.Requests)))
}

func (s *ours) close() { _ = s.pool.Close() }

// perTenant is a *sql.DB for each tenant.
type perTenant struct {
	open  func(database string) (*sqlx.DB, error)
	idle  int           // connections that each keeps; negative is none
	most  int           // connections of each; 0 is any number
	slots chan struct{} // bounds the requests, if not nil
	stop  func()        // ends what the side started, if not nil

	mu  sync.Mutex // guards dbs
	dbs map[tenancy.ID]*sqlx.DB
}

func (s *perTenant) with(ctx context.Context, t *tenancy.Tenant, fn func(*sqlx.DB) error) error {
	db, err := s.db(t)
	if err != nil {
		return err
	}
	if s.slots == nil {
		return fn(db)
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	return fn(db)
}

func (s *perTenant) db(t *tenancy.Tenant) (*sqlx.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if db, ok := s.dbs[t.ID]; ok {
		return db, nil
	}
	db, err := s.open(t.Placement.Database)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(s.idle)
	db.SetMaxOpenConns(s.most)
	if s.dbs == nil {
		s.dbs = map[tenancy.ID]*sqlx.DB{}
	}
	s.dbs[t.ID] = db
	return db, nil
}

func (s *perTenant) note() string { return "" }

func (s *perTenant) close() {
	for _, db := range s.dbs {
		_ = db.Close()
	}
	if s.stop != nil {
		s.stop()
	}
}

// openPlain returns a handle to a database of the server, or to the one that its
// URL names, as a program without dbpool has it.
func (g *ground) openPlain(database string, simple bool) (*sqlx.DB, error) {
	if g.config.engine == testserver.Postgres {
		return openPostgres(g.server.URL, database, simple)
	}
	u, err := url.Parse(g.server.URL)
	if err != nil {
		return nil, err
	}
	config := mysqldriver.NewConfig() // queries without arguments are one round trip
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, database
	connector, err := mysqldriver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(connector), "mysql"), nil
}

// openPostgres returns a handle that prepares each statement once for each
// connection, or sends it by the simple protocol.
func openPostgres(address, database string, simple bool) (*sqlx.DB, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	if database != "" {
		config.Database = database
	}
	if simple {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	return sqlx.NewDb(stdlib.OpenDB(*config), "pgx"), nil
}

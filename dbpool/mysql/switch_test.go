package mysql_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// leftovers are statements that leave something in a session, and a query whose
// answer shows it. In them %[1]s is the database where they run, %[2]s that of the
// next tenant, %[3]s a role, and %[4]s a number that is another one each time: the server
// ends what a session has begun only some time after the session.
var leftovers = []struct {
	name  string
	leave []string
	show  string
}{
	{"user variable", []string{`SET @left = 'secret'`}, `SELECT @left`},
	{"user variable of a trigger", []string{`INSERT INTO triggering VALUES (1)`}, `SELECT @of_trigger`},
	{"user variable of a function", []string{`SELECT leaving()`}, `SELECT @of_function`},
	{"session variable", []string{`SET SESSION sql_select_limit = 7`}, `SELECT @@sql_select_limit`},
	{"session variable of a trigger", []string{`INSERT INTO triggering VALUES (1)`}, `SELECT @@max_join_size`},
	{"time zone", []string{`SET time_zone = '+05:00'`}, `SELECT @@time_zone`},
	{"time", []string{`SET timestamp = 1`}, `SELECT NOW() < '2000-01-01'`},
	{"names", []string{`SET NAMES latin1`}, `SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_results, @@character_set_connection, @@collation_connection)`},
	{"results in another character set", []string{`SET character_set_results = NULL`}, `SELECT @@character_set_results`},
	{"mode", []string{`SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'`}, `SELECT @@sql_mode`},
	{"isolation", []string{`SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE`}, `SELECT @@tx_isolation`},
	{"read-only", []string{`SET SESSION TRANSACTION READ ONLY`}, `SELECT @@tx_read_only`},
	{"read-only once", []string{`SET TRANSACTION READ ONLY`}, `DELETE FROM plain`},
	{"autocommit", []string{`SET autocommit = 0`}, `SELECT @@autocommit`},
	{"transaction", []string{`START TRANSACTION`, `INSERT INTO plain VALUES (7)`}, `SELECT @@in_transaction`},
	{"transaction, what it wrote", []string{`START TRANSACTION`, `INSERT INTO %[1]s.plain VALUES (8)`}, `SELECT COUNT(*) FROM %[1]s.plain`},
	{"distributed transaction", []string{`XA START 'left%[4]s'`, `INSERT INTO plain VALUES (7)`}, `XA START 'left%[4]s'`},
	{"temporary table", []string{`CREATE TEMPORARY TABLE %[1]s.gone (id INT)`}, `SELECT 1 FROM %[1]s.gone`},
	{"temporary table in front of another", []string{`CREATE TEMPORARY TABLE %[2]s.plain (secret INT)`}, `SELECT secret FROM %[2]s.plain`},
	{"temporary sequence", []string{`CREATE TEMPORARY SEQUENCE %[1]s.temp_numbers`}, `SELECT NEXTVAL(%[1]s.temp_numbers)`},
	{"sequence", []string{`SELECT NEXTVAL(numbers)`}, `SELECT LASTVAL(%[1]s.numbers)`},
	{"lock", []string{`DO GET_LOCK('%[1]s', 0)`}, `SELECT IS_USED_LOCK('%[1]s') = CONNECTION_ID()`},
	{"lock of tables", []string{`LOCK TABLES plain READ`}, `SELECT COUNT(*) FROM %[1]s.counting`},
	{"handler", []string{`HANDLER plain OPEN`}, `HANDLER plain READ FIRST`},
	{"prepared statement", []string{`PREPARE left_over FROM 'SELECT ''secret'''`}, `EXECUTE left_over`},
	{"last ID", []string{`INSERT INTO counting VALUES (NULL)`}, `SELECT LAST_INSERT_ID()`},
	{"last ID, set", []string{`SELECT LAST_INSERT_ID(4711)`}, `SELECT LAST_INSERT_ID()`},
	{"last ID as a variable", []string{`INSERT INTO counting VALUES (NULL)`}, `SELECT @@last_insert_id + @@identity`},
	{"last ID in a comparison", []string{`SET sql_auto_is_null = 1`, `INSERT INTO %[2]s.counting VALUES (NULL)`}, `SELECT COUNT(*) FROM counting WHERE id IS NULL`},
	{"next ID", []string{`SET insert_id = 4711`}, `SELECT @@insert_id`},
	{"next ID in use", []string{`SET insert_id = 4711`}, `INSERT INTO counting VALUES (NULL) RETURNING id > 4000`},
	{"rows changed", []string{`DELETE FROM many`}, `SELECT ROW_COUNT()`},
	{"rows found", []string{`SELECT SQL_CALC_FOUND_ROWS * FROM many LIMIT 1`}, `SELECT FOUND_ROWS()`},
	{"warnings", []string{`DROP TABLE IF EXISTS a_secret`}, `SHOW WARNINGS`},
	{"errors", []string{`SELECT a_secret FROM plain`}, `SHOW ERRORS`},
	{"number of warnings", []string{`DROP TABLE IF EXISTS a_secret`}, `SELECT @@warning_count`},
	{"number of errors", []string{`SELECT a_secret FROM plain`}, `SELECT @@error_count`},
	{"random numbers", []string{`SET rand_seed1 = 1, rand_seed2 = 1`}, `SELECT RAND() = (SELECT r FROM %[1]s.seeded)`},
	{"role", []string{`SET ROLE %[3]s`}, `SELECT CURRENT_ROLE()`},
	{"role of a trigger", []string{`INSERT INTO role_taking VALUES (1)`}, `SELECT CURRENT_ROLE()`},
	{"profile of a trigger", []string{`INSERT INTO profiling VALUES (1)`, `SELECT 'secret'`}, `SHOW PROFILES`},
	{"profile that has ended", []string{`SET profiling = 1`, `SELECT 'secret'`, `SET profiling = 0`}, `SHOW PROFILES`},
	{"profile, size", []string{`SET profiling_history_size = 7`}, `SELECT @@profiling_history_size`},
	{"profile", []string{`SET profiling = 1`, `SELECT 'secret'`}, `SHOW PROFILES`},
	{"trace", []string{`SET optimizer_trace = 'enabled=on'`, `SELECT 'secret'`}, `SELECT query FROM information_schema.optimizer_trace`},
	{"cost", []string{`SELECT * FROM many`}, `SHOW SESSION STATUS LIKE 'Last_query_cost'`},
	{"counters", []string{`INSERT INTO plain VALUES (1)`}, `SHOW SESSION STATUS LIKE 'Com_insert'`},
	{"foreign keys", []string{`SET foreign_key_checks = 0`}, `SELECT @@foreign_key_checks`},
	{"binary log", []string{`SET sql_log_bin = 0`}, `SELECT @@sql_log_bin`},
	{"global transaction ID", []string{`SET gtid_domain_id = 7`}, `SELECT @@gtid_domain_id`},
	{"server ID", []string{`SET server_id = 4711`}, `SELECT @@server_id`},
	{"storage engine", []string{`SET @@default_storage_engine = 'MEMORY'`}, `SELECT @@default_storage_engine`},
	{"limits", []string{`SET max_statement_time = 100`}, `SELECT @@max_statement_time`},
	{"database", []string{`USE information_schema`}, `SELECT DATABASE() = 'information_schema'`},
	{"variable of a package", []string{`CALL %[1]s.pack.put('secret')`}, `SELECT %[1]s.pack.take()`},
}

// prepareLeftovers makes in a database what the statements want.
var prepareLeftovers = []string{
	`CREATE TABLE plain (id INT)`,
	`CREATE TABLE many (id INT)`,
	`INSERT INTO many VALUES (1), (2), (3), (4), (5)`,
	`CREATE TABLE counting (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 1000`,
	`INSERT INTO counting VALUES (NULL)`,
	`CREATE TABLE triggering (id INT)`,
	`CREATE TRIGGER leaves BEFORE INSERT ON triggering FOR EACH ROW BEGIN SET @of_trigger = 'secret'; SET SESSION max_join_size = 12345; END`,
	`CREATE FUNCTION leaving() RETURNS INT DETERMINISTIC BEGIN SET @of_function = 'secret'; RETURN 1; END`,
	`CREATE SEQUENCE numbers`,
	`CREATE TABLE role_taking (id INT)`,
	`CREATE TRIGGER takes_role BEFORE INSERT ON role_taking FOR EACH ROW SET ROLE %[3]s`,
	`CREATE TABLE profiling (id INT)`,
	`CREATE TRIGGER profiles BEFORE INSERT ON profiling FOR EACH ROW SET profiling = 1`,
	`CREATE TABLE seeded (r DOUBLE)`,
	`SET rand_seed1 = 1, rand_seed2 = 1`,
	`INSERT INTO seeded SELECT RAND()`,
	`SET sql_mode = ORACLE`,
	`CREATE PACKAGE pack AS PROCEDURE put(v VARCHAR(20)); FUNCTION take RETURN VARCHAR(20); END`,
	`CREATE PACKAGE BODY pack AS kept VARCHAR(20) := ''; PROCEDURE put(v VARCHAR(20)) AS BEGIN kept := v; END;
		FUNCTION take RETURN VARCHAR(20) AS BEGIN RETURN kept; END; END`,
}

// raw is a connection below database/sql.
type raw struct {
	t testing.TB
	sqldriver.Conn
}

func open(t testing.TB, c sqldriver.Connector) raw {
	t.Helper()
	conn, err := c.Connect(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return raw{t, conn}
}

// do runs a statement, and returns its rows or its error as a text.
func (r raw) do(query string) string {
	rows, err := r.Conn.(sqldriver.QueryerContext).QueryContext(context.WithoutCancel(r.t.Context()), query, nil)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = rows.Close() }()
	var all []string
	values := make([]sqldriver.Value, len(rows.Columns()))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return strings.Join(all, "\n")
		}
		if err != nil {
			return err.Error()
		}
		row := make([]string, len(values))
		for i, v := range values {
			if row[i] = fmt.Sprint(v); v == nil {
				row[i] = "NULL"
			} else if b, ok := v.([]byte); ok {
				row[i] = string(b)
			}
		}
		all = append(all, strings.Join(row, "|"))
	}
}

// must runs statements that must not fail.
func (r raw) must(queries ...string) {
	r.t.Helper()
	for _, q := range queries {
		if got := r.do(q); strings.HasPrefix(got, "Error ") {
			r.t.Fatalf("%s: %s", q, got)
		}
	}
}

// ground is two tenants on the server of the environment.
type ground struct {
	engine *mysql.Engine
	a, b   *tenancy.Tenant
}

func newGround(t testing.TB, params string) *ground {
	t.Helper()
	s := tenancytest.NewServer(t, "mysql")
	g := &ground{a: s.Tenant(t, "a"), b: s.Tenant(t, "b")}
	var err error
	if g.engine, err = mysql.New(s.DSN+params, nil); err != nil {
		t.Fatal(err)
	}
	return g
}

func connector(t testing.TB, e driver.Engine, tenant *tenancy.Tenant) sqldriver.Connector {
	t.Helper()
	c, err := e.Connector(tenant.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// identify does what dbpool does with a connection that is new or was switched.
func (g *ground) identify(t *testing.T, conn raw, tenant *tenancy.Tenant) error {
	t.Helper()
	got, err := g.engine.Identify(t.Context(), conn.Conn)
	if want := (driver.Identity{Database: tenant.Placement.Database, Tenant: tenant.ID}); err == nil && got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	return err
}

// server leads to no database.
func (g *ground) server(t *testing.T) sqldriver.Connector {
	t.Helper()
	c, err := g.engine.Server()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stays are the leftovers that a reset does not remove: such a session is refused.
var stays = map[string]bool{
	"role": true, "role of a trigger": true,
	"profile": true, "profile of a trigger": true, "profile that has ended": true,
}

// Whatever one tenant left in a session, the next one sees what it would see on a
// connection of its own, or does not get the connection.
func TestSwitchLeavesNothing(t *testing.T) {
	t.Parallel()
	g := newGround(t, "")
	to := connector(t, g.engine, g.b)
	role := "role_" + string(g.a.ID)
	open(t, to).must(`CREATE ROLE ` + role)
	t.Cleanup(func() { open(t, g.server(t)).must(`DROP ROLE ` + role) })
	times := 0
	fill := func(query string) string {
		times++
		return strings.NewReplacer("%[1]s", g.a.Placement.Database, "%[2]s", g.b.Placement.Database, "%[3]s", role, "%[4]s", strconv.Itoa(times)).Replace(query)
	}
	for _, each := range []*tenancy.Tenant{g.a, g.b} {
		conn := open(t, connector(t, g.engine, each))
		for _, q := range prepareLeftovers {
			conn.must(fill(q))
		}
	}
	for _, each := range leftovers {
		t.Run(each.name, func(t *testing.T) {
			leave := func() raw {
				conn := open(t, connector(t, g.engine, g.a))
				for _, q := range each.leave {
					conn.do(fill(q))
				}
				return conn
			}
			fresh := open(t, to)
			if err := g.identify(t, fresh, g.b); err != nil {
				t.Fatal(err)
			}
			want := fresh.do(fill(each.show))
			_ = fresh.Close() // it may lock something
			left := leave()
			if got := left.do(fill(each.show)); got == want {
				t.Errorf("left %q, want something else than in a new session", got)
			}
			_ = left.Close()

			conn := leave()
			if err := g.engine.Switch(t.Context(), conn.Conn, to); err != nil {
				t.Fatal(err)
			}
			err := g.identify(t, conn, g.b)
			if (err != nil) != stays[each.name] {
				t.Fatalf("got %v, want it refused: %t", err, stays[each.name])
			}
			if err != nil {
				return
			}
			if got := conn.do(fill(each.show)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Every variable that a session can set has, after a switch, the value that it has
// in a new session of the same DSN.
func TestSwitchRestoresVariables(t *testing.T) {
	t.Parallel()
	for _, params := range []string{
		"", "?charset=latin1", "?charset=utf8mb4&collation=utf8mb4_bin", "?collation=utf8mb4_unicode_ci",
		"?sql_mode=%27ANSI%27&time_zone=%27%2B05%3A00%27&wait_timeout=1000",
	} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprint(params, readOnly), func(t *testing.T) {
				t.Parallel()
				g := newGround(t, params)
				from, to := connector(t, g.engine, g.a), connector(t, g.engine, g.b)
				if readOnly {
					var err error
					if to, err = g.engine.ReadOnlyConnector(g.b.Placement.Database); err != nil {
						t.Fatal(err)
					}
				}
				fresh, conn := open(t, to), open(t, from)
				changed := 0
				for _, q := range strings.Split(conn.do(changes), "\n") {
					if conn.do(q) == "" {
						changed++
					}
				}
				if changed < 150 {
					t.Errorf("got %d variables changed, want most of them", changed)
				}
				if err := g.engine.Switch(t.Context(), conn.Conn, to); err != nil {
					t.Fatal(err)
				}
				for _, c := range []raw{fresh, conn} {
					if err := g.identify(t, c, g.b); err != nil {
						t.Fatal(err)
					}
				}
				got, want := strings.Split(conn.do(variables), "\n"), strings.Split(fresh.do(variables), "\n")
				if len(want) < 200 || len(got) != len(want) {
					t.Fatalf("got %d and %d variables, want all", len(got), len(want))
				}
				for i := range want {
					if got[i] != want[i] {
						t.Errorf("got %s, want %s", got[i], want[i])
					}
				}
			})
		}
	}
}

// variables are those of a session, but for the time and what is random; changes
// are statements that give them other values. Those without which a session can do
// nothing more stay, and those that are the server's.
const (
	variables = `SELECT variable_name, session_value FROM information_schema.system_variables
		WHERE session_value IS NOT NULL AND variable_name NOT IN ('TIMESTAMP', 'RAND_SEED1', 'RAND_SEED2', 'PSEUDO_THREAD_ID', 'SQL_SLAVE_SKIP_COUNTER')
		ORDER BY variable_name`
	changes = `SELECT CONCAT('SET SESSION ', variable_name, ' = ', CASE
			WHEN variable_type = 'BOOLEAN' THEN IF(session_value = 'ON', 0, 1)
			WHEN variable_type IN ('ENUM', 'SET') THEN QUOTE(IF(SUBSTRING_INDEX(enum_value_list, ',', 1) = session_value,
				SUBSTRING_INDEX(enum_value_list, ',', -1), SUBSTRING_INDEX(enum_value_list, ',', 1)))
			ELSE IF(session_value = numeric_min_value, numeric_min_value + 2 * GREATEST(numeric_block_size, 1), numeric_min_value) END)
		FROM information_schema.system_variables
		WHERE variable_scope LIKE 'SESSION%' AND read_only = 'NO' AND (variable_type = 'BOOLEAN' OR enum_value_list IS NOT NULL OR numeric_min_value IS NOT NULL)
			AND variable_name NOT IN ('PROFILING', 'MAX_STATEMENT_TIME', 'SQL_SELECT_LIMIT', 'WAIT_TIMEOUT', 'IDLE_TRANSACTION_TIMEOUT',
				'IDLE_READONLY_TRANSACTION_TIMEOUT', 'IDLE_WRITE_TRANSACTION_TIMEOUT', 'NET_READ_TIMEOUT', 'MAX_SESSION_MEM_USED', 'PSEUDO_SLAVE_MODE', 'SQL_SLAVE_SKIP_COUNTER', 'MAX_RELAY_LOG_SIZE')`
)

// What the driver believes of a session is what it is after a switch, so that
// arguments are quoted right.
func TestSwitchQuoting(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	var err error
	if s.Engine, err = mysql.New(s.DSN+"?interpolateParams=true", nil); err != nil {
		t.Fatal(err)
	}
	a, b := s.Tenant(t, "a"), s.Tenant(t, "b")
	p := s.Pool(t, &dbpool.Options{Budget: 1})
	of := func(tenant *tenancy.Tenant) *sqlx.DB {
		t.Helper()
		db, err := p.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	of(a).MustExec(`CREATE TABLE changing (id INT)`)
	of(a).MustExec(`CREATE TRIGGER changes BEFORE INSERT ON changing FOR EACH ROW BEGIN SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'; END`)
	of(b).MustExec(`CREATE TABLE notes (text TEXT)`)
	for range 3 {
		before := p.Stat(s.Name).Switches
		of(a).MustExec(`INSERT INTO changing VALUES (1)`)
		const text = `\' OR '' = '\`
		var got string
		of(b).MustExec(`INSERT INTO notes VALUES (?)`, text) // the first statement after the switch
		if err := of(b).Get(&got, `SELECT text FROM notes WHERE text = ?`, text); err != nil || got != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
		of(b).MustExec(`DELETE FROM notes`)
		if p.Stat(s.Name).Switches == before {
			t.Error("got no switch")
		}
	}
}

// A database that is gone is ErrNotFound, one that was made again under its name
// is not the tenant's, and neither troubles whose connection it was.
func TestSwitchToWhatIsGone(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	a, b := s.Tenant(t, "a"), s.Tenant(t, "b")
	p := s.Pool(t, &dbpool.Options{Budget: 1})
	ask := func(tenant *tenancy.Tenant) error {
		db, err := p.For(t.Context(), tenant)
		if err != nil {
			return err
		}
		var id tenancy.ID
		if err := db.Get(&id, `SELECT tenant_id FROM tenancy_marker`); err != nil {
			return err
		}
		if id != tenant.ID {
			t.Errorf("got an answer of %s, want one of %s", id, tenant.ID)
		}
		return nil
	}
	for _, each := range []*tenancy.Tenant{a, b, a} {
		if err := ask(each); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stat(s.Name); st.Dials != 1 || st.Switches != 2 {
		t.Errorf("got %d dials and %d switches, want 1 and 2", st.Dials, st.Switches)
	}
	d := s.Engine.(driver.Databases)
	if err := d.Drop(t.Context(), b.Placement.Database, b.ID); err != nil {
		t.Fatal(err)
	}
	if err := ask(b); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a database that is gone: got %v, want ErrNotFound", err)
	}
	if err := ask(a); err != nil {
		t.Errorf("the other: %v", err)
	}
	if err := d.Create(t.Context(), b.Placement.Database, a.ID); err != nil {
		t.Fatal(err)
	}
	p.Forget(b.ID) // with what it knows of failures
	var wrong *dbpool.IdentityError
	if err := ask(b); !errors.As(err, &wrong) {
		t.Errorf("another tenant's: got %v, want an IdentityError", err)
	}
	if err := d.Drop(t.Context(), b.Placement.Database, a.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), b.Placement.Database, b.ID); err != nil {
		t.Fatal(err)
	}
	p.Forget(b.ID)
	for _, each := range []*tenancy.Tenant{a, b, a, b} {
		if err := ask(each); err != nil {
			t.Errorf("made again: %v", err)
		}
	}
}

// What cannot be switched is left as it is.
func TestSwitchSkips(t *testing.T) {
	t.Parallel()
	g, other, packed := newGround(t, ""), newGround(t, ""), newGround(t, "?compress=true")
	server := g.server(t)
	for _, c := range []struct {
		name   string
		engine *mysql.Engine
		from   sqldriver.Connector
		to     sqldriver.Connector
	}{
		{"compressed", packed.engine, connector(t, packed.engine, packed.a), connector(t, packed.engine, packed.b)},
		{"of another engine", g.engine, connector(t, other.engine, other.a), connector(t, g.engine, g.b)},
		{"to another engine", g.engine, connector(t, g.engine, g.a), connector(t, other.engine, other.b)},
		{"to no database", g.engine, connector(t, g.engine, g.a), server},
	} {
		conn := open(t, c.from)
		conn.must(`SET @left = 1`)
		if err := c.engine.Switch(t.Context(), conn.Conn, c.to); !errors.Is(err, sqldriver.ErrSkip) {
			t.Errorf("%s: got %v, want sqldriver.ErrSkip", c.name, err)
		}
		if got := conn.do(`SELECT @left`); got != "1" {
			t.Errorf("%s: got %q, want the session as it was", c.name, got)
		}
	}
	conn := open(t, connector(t, g.engine, g.a))
	open(t, server).must(`KILL ` + conn.do(`SELECT CONNECTION_ID()`))
	err := g.engine.Switch(t.Context(), conn.Conn, connector(t, g.engine, g.b))
	if err == nil {
		err = g.identify(t, conn, g.b)
	}
	if err == nil || errors.Is(err, sqldriver.ErrSkip) {
		t.Errorf("a connection that was killed: got %v, want another error", err)
	}
	conn = open(t, connector(t, g.engine, g.a))
	_ = conn.Close()
	if err := g.engine.Switch(t.Context(), conn.Conn, connector(t, g.engine, g.b)); err == nil || errors.Is(err, sqldriver.ErrSkip) {
		t.Errorf("a connection that is closed: got %v, want another error", err)
	}
	if err := packed.engine.Clean(t.Context(), open(t, connector(t, packed.engine, packed.a)).Conn); err == nil {
		t.Error("compressed: got no error of Reset")
	}
}

// After a switch, Reset stays where that led to.
func TestResetAfterSwitch(t *testing.T) {
	t.Parallel()
	g := newGround(t, "")
	conn := open(t, connector(t, g.engine, g.a))
	for _, each := range []*tenancy.Tenant{g.b, g.a, g.b} {
		if err := g.engine.Switch(t.Context(), conn.Conn, connector(t, g.engine, each)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := g.identify(t, conn, each); err != nil {
				t.Fatal(err)
			}
			conn.must(`USE information_schema`)
			if err := g.engine.Clean(t.Context(), conn.Conn); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.identify(t, conn, each); err != nil {
			t.Fatal(err)
		}
	}
}

// A session with state is cleaned, and its connection kept, unless something
// stays.
func TestReset(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	p := s.Pool(t, nil)
	db, err := p.For(t.Context(), s.Tenant(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`SELECT LAST_INSERT_ID()`, `USE information_schema`, `SET SESSION sql_mode = 'ANSI'`, `START TRANSACTION`} {
		db.MustExec(q)
		var n int
		if err := db.Get(&n, `SELECT COUNT(*) FROM tenancy_marker WHERE @@sql_mode NOT LIKE '%ANSI%' AND NOT @@in_transaction`); err != nil || n != 1 {
			t.Errorf("after %s: got %d, %v, want a new session in the same database", q, n, err)
		}
	}
	if n := p.Stat(s.Name).Dials; n != 1 {
		t.Errorf("got %d dials, want 1", n)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`SET profiling = 1`, `SELECT 'secret'`} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Error(err)
		}
	}
	_ = conn.Close()
	var n int
	if err := db.Get(&n, `SELECT COUNT(*) FROM information_schema.profiling`); err != nil || n != 0 {
		t.Errorf("got %d lines of profiles, %v, want none", n, err)
	}
	if n := p.Stat(s.Name).Dials; n != 2 {
		t.Errorf("got %d dials, want another for the session in which something stays", n)
	}
}

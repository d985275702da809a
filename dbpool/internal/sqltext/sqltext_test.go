package sqltext

import (
	"strings"
	"testing"
)

func TestStateless(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		`SELECT 1`: true,
		`select id, text from notes where id = $1 order by created_at desc limit 10`:                     true,
		`SELECT COUNT(*), max(n.id) FROM notes n JOIN tags t ON (t.note = n.id) WHERE n.id IN (?, ?)`:    true,
		`INSERT INTO notes (id, text) VALUES (?, ?)`:                                                     true,
		`INSERT INTO "notes" (id) VALUES (lower(?)) ON CONFLICT (id) DO UPDATE SET text = excluded.text`: true,
		`INSERT IGNORE INTO notes (id) VALUES (1)`:                                                       true,
		"INSERT INTO `notes` (`id`) VALUES (1)":                                                          true,
		`REPLACE INTO notes (id) VALUES (1)`:                                                             true,
		`UPDATE notes SET text = 'SET x; SELECT set_config()' WHERE id = 1`:                              true,
		`DELETE FROM notes WHERE id = 1 RETURNING id`:                                                    true,
		`WITH n AS (SELECT id FROM notes) SELECT * FROM n`:                                               true,
		`SELECT id -- SET x`:                                         true,
		"SELECT /* set_config('a') */ 1":                             true,
		`SELECT $1, $2`:                                              true,
		`SELECT $tag$ a text in PostgreSQL $tag$`:                    false,
		"SELECT $t$.id, GET_LOCK('x', 0) FROM t AS $t$":              false,
		"SELECT 1 -- x\r, set_config('a', 'b', false)":               false,
		"SELECT 1 -- x\r\n":                                          true,
		`SELECT 'it''s; SET x'`:                                      true,
		`SELECT 1;`:                                                  true,
		`  select 1 for update`:                                      true,
		`CREATE TABLE notes (id INT PRIMARY KEY, n NUMERIC(10, 2))`:  true,
		`CREATE INDEX i ON notes (id)`:                               true,
		`DROP TABLE notes`:                                           true,
		``:                                                           false,
		`SET search_path = x`:                                        false,
		`set SESSION sql_mode = ''`:                                  false,
		`SELECT 1; SET x = 1`:                                        false,
		`SELECT set_config('search_path', 'x', false)`:               false,
		`SELECT pg_catalog.set_config('search_path', 'x', false)`:    false,
		`SELECT "set_config"('search_path', 'x', false)`:             false,
		`SELECT pg_catalog . set_config ('search_path', 'x', false)`: false,
		"SELECT set_config/**/('a', 'b', false)":                     false,
		"SELECT set_config -- x\n ('a', 'b', false)":                 false,
		`SELECT pg_advisory_lock(1)`:                                 false,
		`SELECT GET_LOCK('x', 1)`:                                    false,
		`SELECT my_function(1)`:                                      false,
		`SELECT * FROM my_function(1)`:                               false,
		`SELECT 1 INTO TEMP x`:                                       false,
		`SELECT 1 INTO x`:                                            false,
		`SELECT 1 INTO @x`:                                           false,
		`SELECT @x := 1`:                                             false,
		`CREATE TEMP TABLE x (id INT)`:                               false,
		`CREATE TEMPORARY TABLE x (id INT)`:                          false,
		`CREATE TABLE x AS SELECT set_config('a', 'b', false)`:       false,
		`BEGIN`:                 false,
		`START TRANSACTION`:     false,
		`PREPARE x AS SELECT 1`: false,
		`LISTEN x`:              false,
		`DECLARE c CURSOR WITH HOLD FOR SELECT 1`: false,
		`PRAGMA query_only = 1`:                   false,
		`ATTACH 'x' AS y`:                         false,
		`USE other`:                               false,
		`CALL p()`:                                false,
		`DO $$ BEGIN SET x = 1; END $$`:           false,
		`EXPLAIN ANALYZE SELECT set_config('a', 'b', false)`:                                    false,
		`LOCK TABLES x WRITE`:                                                                   false,
		`/*!50000 SET x = 1 */ SELECT 1`:                                                        false,
		`SELECT 'a\'; SET x = 1; -- '`:                                                          false,
		`SELECT 'it\'s', GET_LOCK('x', 1)`:                                                      false,
		`SELECT j #>> '{a}', set_config('a', 'b', false)`:                                       false,
		`CREATE TABLE pg_temp.x (id INT)`:                                                       false,
		`SELECT /* a /* b */ */ set_config('a', 'b', false)`:                                    false,
		`SELECT $a1$ ' $a1$, set_config('a', 'b', false)`:                                       false,
		`CREATE TABLE x AS VALUES (set_config('a', 'b', false))`:                                false,
		`SELECT 1--1, GET_LOCK('x', 1)`:                                                         false,
		`SELECT app.set(1)`:                                                                     false,
		`SELECT audit.log('x')`:                                                                 false,
		`SELECT pg_catalog.lower('X')`:                                                          false,
		`INSERT INTO public.notes (id) VALUES (set_config('a', 'b', false))`:                    false,
		`INSERT INTO notes (id) SELECT f(1)`:                                                    false,
		`INSERT INTO public.notes (id, text) VALUES ($1, $2)`:                                   true,
		`SELECT CAST(x AS DECIMAL(10, 2)), n.id FROM public.notes n WHERE n.id IN (1)`:          true,
		`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n`: true,
		`WITH n (i) AS (SELECT set_config('a', 'b', false)) SELECT i FROM n`:                    false,
		`SELECT changes(), json_extract(x, y)`:                                                  true,
		`HANDLER x OPEN`:                                                                        false,
		`VALUES (set_config('a', 'b', false))`:                                                  false,
		`DELETE FROM notes; DELETE FROM notes`:                                                  false,
		`INSERT INTO notes SELECT set_config('a', 'b', false)`:                                  false,
		`SELECT 1 /*/ ' */, set_config('a', 'b', false) /*/ ' */`:                               false,
		`SELECT recursive, set_config('a', 'b', false) FROM notes`:                              false,
		`CREATE TABLE "pg_temp".x (id INT)`:                                                     false,
		`CREATE TABLE "PG_TEMP_3".x (id INT)`:                                                   false,
		"CREATE VIEW `temp`.x AS SELECT 1":                                                      false,
		`ALTER TABLE x ADD COLUMN y TEXT DEFAULT set_config('a', 'b', false)`:                   false,
		`ALTER TABLE x ADD COLUMN y NUMERIC(10, 2)`:                                             true,
		`SELECT 1 /* * / */ /**/`:                                                               true,
	} {
		got := false
		for _, engine := range engineNames { // what is stateless is so on one of them, at least
			got = got || functionsOf(engine).stateless(query)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

var engineNames = []string{"pgx", "mysql", "sqlite"}

// What one engine has, another may have as a function of the application; and what
// looks like a string or a column may be a name or a call.
func TestStatelessByEngine(t *testing.T) {
	t.Parallel()
	for query, on := range map[string]string{
		`SELECT total(x) FROM notes`:                                       "sqlite",
		`SELECT typeof(x)`:                                                 "sqlite",
		`SELECT changes()`:                                                 "sqlite",
		`SELECT week(x), lower(y)`:                                         "mysql",
		`SELECT if(x, 1, 2)`:                                               "mysql",
		`SELECT sha2(x, 256)`:                                              "mysql",
		`SELECT array_agg(x)`:                                              "pgx",
		`SELECT to_tsvector(x)`:                                            "pgx",
		`SELECT left_pad(x), right_pad(y)`:                                 "",
		`SELECT similarity(x, y)`:                                          "",
		`SELECT bin_to_uuid(x)`:                                            "",
		`SELECT nextval('s')`:                                              "",
		`SELECT lower(x), count(*), coalesce(y, 1)`:                        "pgx mysql sqlite",
		`SELECT rank() OVER (PARTITION BY (x)) FROM notes`:                 "pgx mysql sqlite",
		`SELECT max(x) FILTER (WHERE y) OVER (ORDER BY (x)) FROM notes`:    "pgx sqlite",
		`SELECT filter(x)`:                                                 "",
		`SELECT by(x), over(y)`:                                            "",
		`SELECT conflict(x)`:                                               "",
		`SELECT materialized(x)`:                                           "",
		`SELECT key(x)`:                                                    "",
		`WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x`:                "pgx sqlite",
		`INSERT INTO notes (id) VALUES (1) ON CONFLICT (id) DO NOTHING`:    "pgx sqlite",
		`ALTER TABLE notes ADD PRIMARY KEY (id)`:                           "mysql sqlite",
		`CREATE TABLE 'temp'.notes (id INT)`:                               "",
		`CREATE TABLE 'TEMP' . notes (id INT)`:                             "",
		`CREATE TABLE 'te''mp'/**/.notes (id INT)`:                         "",
		`INSERT INTO 'temp'.notes VALUES (1)`:                              "",
		`SELECT * FROM 'pragma_cache_size'(7)`:                             "",
		`SELECT 'temp', ('x'), concat('a', ('b')) FROM notes`:              "pgx mysql sqlite",
		`INSERT INTO notes (id, text) VALUES (1, 'x'), (2, 'y')`:           "pgx mysql sqlite another",
		`SELECT (n).f FROM notes n`:                                        "",
		`SELECT (SELECT n FROM notes n LIMIT 1).f`:                         "",
		`SELECT ( n ) . f FROM notes n`:                                    "",
		`SELECT $1.f`:                                                      "",
		`SELECT n.f, 1.5, (1.5), (n.f) FROM notes n WHERE n.x IN ($1, 2.)`: "pgx mysql sqlite another",
	} {
		for _, engine := range append(engineNames, "another") {
			want := strings.Contains(" "+on+" ", " "+engine+" ")
			if got := functionsOf(engine).stateless(query); got != want {
				t.Errorf("%s on %s: got %v, want %v", query, engine, got, want)
			}
		}
	}
}

func FuzzStateless(f *testing.F) {
	f.Add(`SELECT "a"."b"('c''d', $$e$$) /* f */ -- g`)
	f.Fuzz(func(t *testing.T, query string) {
		for _, engine := range engineNames {
			if f := functionsOf(engine); f.stateless(query) && f.stateless(query+"; SET x = 1") && !open(query) {
				t.Errorf("%q followed by SET: got stateless", query)
			}
		}
	})
}

// open reports whether a comment or quotes may be open at the end of a query.
func open(query string) bool {
	for _, c := range query {
		switch c {
		case '\'', '"', '`', '$', '-', '#', '/', '*', '\\':
			return true
		}
	}
	return false
}

func TestStatementsAreRemembered(t *testing.T) {
	t.Parallel()
	s := New("pgx")
	for range 2 {
		if s.Effect(`SELECT 1`) != 0 || s.Effect(`SET x = 1`) != LeavesState|Writes|InParts {
			t.Error("got a wrong answer from memory")
		}
	}
	for i := range 2 * maxStatements {
		s.Effect("SELECT " + string(rune('a'+i%26)) + string(rune(0x4e00+i)))
	}
	if n := s.n.Load(); n > maxStatements+8 {
		t.Errorf("got %d remembered, want about %d at most", n, maxStatements)
	}
}

func TestMayWrite(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		`SELECT 1`:                                       false,
		` /* INSERT */ select 1`:                         false,
		`-- a` + "\n" + `VALUES (1)`:                     false,
		`PRAGMA user_version`:                            false,
		`EXPLAIN INSERT INTO a`:                          false,
		`WITH x AS (SELECT 1) SELECT 1`:                  false,
		`SELECT 'insert'`:                                false,
		`WITH x AS (SELECT 1) INSERT INTO a SELECT 1`:    true,
		`WITH x AS (SELECT 1) DELETE FROM a`:             true,
		`WITH x AS (SELECT "update") UPDATE a SET b = 1`: true,
		`INSERT INTO a VALUES (1)`:                       true,
		`update a set b = 1`:                             true,
		`BEGIN`:                                          true,
		`CREATE TABLE a (b)`:                             true,
		`VACUUM`:                                         true,
		`; INSERT INTO a VALUES (1)`:                     true,
		`SELECT 1;`:                                      false,
		`SELECT 1; INSERT INTO a VALUES (1)`:             true,
		`PRAGMA user_version; VACUUM`:                    true,
	} {
		if got := mayWrite(query); got != want {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

func TestInParts(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		`SELECT 1`:                                      false,
		`SELECT 1 ; `:                                   false,
		`(SELECT 1) UNION (SELECT 2)`:                   false,
		`SELECT 'CALL p(); x'`:                          false,
		`INSERT INTO a VALUES (1)`:                      false,
		`WITH x AS (SELECT 1) DELETE FROM a`:            false,
		`CREATE TABLE a (b INT)`:                        false,
		`SELECT * FROM a WHERE b = ANY (ARRAY[$1, $2])`: false,
		`SELECT a FROM b WHERE c = 'it\'s'`:             false,
		`/* CALL */ -- x` + "\n" + `UPDATE a SET b = 1`: false,
		``:                      true,
		`;`:                     true,
		`CALL p()`:              true,
		`call p()`:              true,
		`/* SELECT */ CALL p()`: true,
		`/*!50000 CALL p() */`:  true,
		`SET STATEMENT max_statement_time = 1 FOR CALL p()`:    true,
		`BEGIN NOT ATOMIC INSERT INTO a VALUES (1); END`:       true,
		`DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$`: true,
		`EXECUTE x`: true,
		`INSERT INTO a VALUES (1); DELETE FROM b`:            true,
		`INSERT INTO a VALUES (ARRAY[1]); DELETE FROM b`:     true,
		`INSERT INTO a VALUES ('\''); DELETE FROM b; -- '`:   true,
		`INSERT INTO a VALUES (1) # x` + "\n" + `; CALL p()`: true,
	} {
		if got := inParts(query); got != want {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

package dbpool

import "testing"

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
		`SELECT id -- SET x`:                                        true,
		"SELECT /* set_config('a') */ 1":                            true,
		`SELECT $tag$ set_config('a', 'b', false) $tag$, $1`:        true,
		`SELECT 'it''s; SET x'`:                                     true,
		`SELECT 1;`:                                                 true,
		`  select 1 for update`:                                     true,
		`CREATE TABLE notes (id INT PRIMARY KEY, n NUMERIC(10, 2))`: true,
		`CREATE INDEX i ON notes (id)`:                              true,
		`DROP TABLE notes`:                                          true,
		``:                                                          false,
		`SET search_path = x`:                                       false,
		`set SESSION sql_mode = ''`:                                 false,
		`SELECT 1; SET x = 1`:                                       false,
		`SELECT set_config('search_path', 'x', false)`:              false,
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
		`SELECT changes(), json_unquote(x)`:                                                     true,
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
		if got := stateless(query); got != want {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

func FuzzStateless(f *testing.F) {
	f.Add(`SELECT "a"."b"('c''d', $$e$$) /* f */ -- g`)
	f.Fuzz(func(t *testing.T, query string) {
		if stateless(query) && stateless(query+"; SET x = 1") && !open(query) {
			t.Errorf("%q followed by SET: got stateless", query)
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
	var s statements
	for range 2 {
		if s.effect(`SELECT 1`) != 0 || s.effect(`SET x = 1`) != leaves|writes {
			t.Error("got a wrong answer from memory")
		}
	}
	for i := range 2 * mostStatements {
		s.effect("SELECT " + string(rune('a'+i%26)) + string(rune(0x4e00+i)))
	}
	if n := s.n.Load(); n > mostStatements+8 {
		t.Errorf("got %d remembered, want about %d at most", n, mostStatements)
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

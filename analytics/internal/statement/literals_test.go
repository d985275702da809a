package statement

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWithoutLiterals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ on, text, want string }{
		{"pgx mysql sqlite", `SELECT 1`, `SELECT ?`},
		{"pgx mysql sqlite", "SELECT  id,\n\ttext FROM notes", `SELECT id, text FROM notes`},
		{"pgx mysql sqlite", `SELECT a FROM b WHERE c = 'it''s' AND d = 1.5e-3`, `SELECT a FROM b WHERE c = ? AND d = ?`},
		{"pgx mysql sqlite", `SELECT a1, t.b2 FROM t WHERE c3 > -1 AND d < .5`, `SELECT a1, t.b2 FROM t WHERE c3 > ? AND d < ?`},
		{"pgx mysql sqlite", `SELECT a - 1, 0x1F, 1_000, 1e+9 FROM b`, `SELECT a - ? FROM b`},
		{"pgx mysql sqlite", `SELECT a FROM b WHERE c IN (1, 2,3 , -4)`, `SELECT a FROM b WHERE c IN (?)`},
		{"pgx mysql sqlite", `INSERT INTO a (b, c) VALUES (1, 'x'), (2, 'y'), (3, 'z')`, `INSERT INTO a (b, c) VALUES (?)`},
		{"pgx mysql sqlite", `SELECT a /* secret */ FROM b -- secret`, `SELECT a FROM b`},
		{"pgx mysql sqlite", `SELECT 'not ended`, `SELECT ?`},
		{"pgx mysql sqlite", `SELECT a FROM b /* not ended`, `SELECT a FROM b`},
		{"pgx mysql sqlite", `SELECT x'ff', a FROM b`, `SELECT ?, a FROM b`},
		{"pgx mysql sqlite", `SET application_name = secret`, `SET application_name = ?`},
		{"sqlite", `PRAGMA key(secret)`, `PRAGMA key(?)`},
		{"pgx", `SET search_path TO secret, other`, `SET search_path TO ?`},
		{"pgx", `SELECT $1, $2 FROM b WHERE c = ANY($3) AND d = $4::int`, `SELECT ? FROM b WHERE c = ANY(?) AND d = ?::int`},
		{"mysql sqlite", `SELECT ? FROM b WHERE c IN (?, ?)`, `SELECT ? FROM b WHERE c IN (?)`},
		{"sqlite", `SELECT :a, @b, $c, ?1 FROM d`, `SELECT ? FROM d`},
		{"pgx", `SELECT $$it's$$, $q$ $$ $q$ FROM a$b$`, `SELECT ? FROM a$b$`},
		{"pgx", `SELECT $$not ended`, `SELECT ?`},
		{"pgx", `SELECT E'it\'s', a FROM b`, `SELECT ?, a FROM b`},
		{"pgx", `SELECT 'C:\', secret`, `SELECT ? …`},
		{"sqlite", `SELECT 'C:\', a FROM b`, `SELECT ?, a FROM b`},
		{"pgx mysql sqlite", `SELECT 'a\\', b FROM c`, `SELECT ?, b FROM c`},
		{"mysql", `SELECT 'it\'s', secret FROM b`, `SELECT ? …`},
		{"mysql", `SELECT "it\"s", secret FROM b`, `SELECT ? …`},
		{"mysql", `SELECT 'a\b\n' FROM c`, `SELECT ? FROM c`},
		{"mysql", "SELECT \"secret\", `a``b` FROM `c`", "SELECT ?, `a``b` FROM `c`"},
		{"pgx", `SELECT "a""b" FROM "c"."d"`, `SELECT "a""b" FROM "c"."d"`},
		{"sqlite", `SELECT "perhaps" FROM "notes" WHERE [a b] = 1`, `SELECT ? FROM "notes" WHERE [a b] = ?`},
		{"mysql", "SELECT a # secret\nFROM b WHERE c = 1--1", `SELECT a FROM b WHERE c = ?--?`},
		{"pgx", `SELECT a #>> '{b}' /* a /* b */ secret */ FROM c`, `SELECT a #>> ? FROM c`},
		{"sqlite mysql", `SELECT a /* /* */ FROM c`, `SELECT a FROM c`},
		{"mysql", `SELECT a /*!50000 'secret */ FROM c`, `SELECT a …`},
		{"pgx", `SELECT a \ secret`, `SELECT a …`},
		{"pgx mysql sqlite", ``, ``},
	} {
		for driver := range strings.FieldsSeq(tt.on) {
			if got := Of(driver, tt.text).Text; got != tt.want {
				t.Errorf("%s: %s: got %s, want %s", driver, tt.text, got, tt.want)
			}
		}
	}
}

func TestLongTexts(t *testing.T) {
	t.Parallel()
	long := "SELECT " + strings.Repeat("ä, ", 20_000) + "'secret'"
	a, b := Of("pgx", long), Of("pgx", strings.Replace(long, "ä", "ö", 1))
	if len(a.Text) > longestText || !utf8.ValidString(a.Text) || !strings.HasSuffix(a.Text, cut) {
		t.Errorf("got %d bytes: %s", len(a.Text), a.Text)
	}
	if c := Of("pgx", "SELECT "+strings.Repeat("a, ", 500)+"b"); a.Fingerprint == b.Fingerprint || len(c.Text) > longestText || c.Fingerprint == Of("pgx", "SELECT "+strings.Repeat("a, ", 500)+"c").Fingerprint {
		t.Error("texts that differ behind what is shown are the same")
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	var k Known
	for i := range 3 * maxKnown {
		k.Of("pgx", "SELECT "+strings.Repeat("a", 1+i%1000)+", "+strings.Repeat("b", 1+i/1000))
	}
	if n := k.texts.Load().n.Load(); n > maxKnown {
		t.Errorf("got %d texts, want at most %d", n, maxKnown)
	}
	// What a text is depends on the engine.
	if a, b := k.Of("pgx", `SELECT "a"`), k.Of("mysql", `SELECT "a"`); a.Text != `SELECT "a"` || b.Text != `SELECT ?` || a != k.Of("pgx", `SELECT "a"`) {
		t.Errorf("got %+v and %+v", a, b)
	}
}

const secret = "zqxj"

// FuzzLiterals puts a secret into literals and comments of each engine, as the engine
// quotes it.
func FuzzLiterals(f *testing.F) {
	f.Add("it's", `\`)
	f.Add(`"`, "`")
	f.Add("-- ", "/* */")
	f.Add("\n", "$$")
	f.Add(`\`, `\\`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, secret) {
			return
		}
		value := before + secret + after
		double := func(quote string) string { return quote + strings.ReplaceAll(value, quote, quote+quote) + quote }
		slashes := strings.ReplaceAll(value, `\`, `\\`)
		hidden := map[string][]string{
			"pgx":    {double(`'`), `E'` + strings.ReplaceAll(slashes, `'`, `\'`) + `'`, `E'` + strings.ReplaceAll(slashes, `'`, `''`) + `'`},
			"mysql":  {double(`'`), double(`"`), `'` + strings.ReplaceAll(slashes, `'`, `\'`) + `'`, `'` + strings.ReplaceAll(slashes, `'`, `''`) + `'`, `"` + strings.ReplaceAll(slashes, `"`, `\"`) + `"`},
			"sqlite": {double(`'`), double(`"`)},
		}
		if !strings.Contains(value, "$") {
			hidden["pgx"] = append(hidden["pgx"], "$$"+value+"$$", "$a1$"+value+"$a1$")
		}
		for driver, literals := range hidden {
			if !strings.Contains(value, "/") && !strings.HasPrefix(value, "!") && !strings.HasPrefix(value, "M!") {
				literals = append(literals, "/*"+value+"*/ 1")
			}
			if !strings.ContainsAny(value, "\r\n") {
				literals = append(literals, "-- "+value+"\n1")
			}
			for _, literal := range literals {
				got := Of(driver, "SELECT a FROM b WHERE c = "+literal+" AND d IN ("+literal+", "+literal+")").Text
				if strings.Contains(got, secret) || !strings.HasPrefix(got, "SELECT a FROM b WHERE c =") {
					t.Errorf("%s: %q: got %q", driver, literal, got)
				}
			}
		}
	})
}

// FuzzTexts wants nothing but names, operators and placeholders of any text.
func FuzzTexts(f *testing.F) {
	f.Add(`SELECT "a", 'b', $$c$$, $1, :d, [e], 1.5e-3 -- f`)
	f.Add("INSERT INTO `a` VALUES (0x1, 'b\\'c'), (?, \"d\") # e")
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []dialect{postgres, mysql, sqlite} {
			l := &lexer{dialect: d, rest: text}
			for l.rest != "" && !l.ended {
				before := len(l.rest)
				if l.next(); len(l.rest) >= before && !l.ended {
					t.Fatalf("%q: does not get on", text)
				}
			}
			for _, token := range l.out {
				first := token.text[0]
				quoted := len(token.text) > 1 && (first == '"' && d != mysql || first == '`' && d != postgres || first == '[' && d == sqlite)
				word := letter(first) || first == '$' && d == mysql
				if !quoted && !word && (len(token.text) != 1 || digit(first) || first == '\'' || first == '\\' || first == '"') {
					t.Errorf("%q: got the token %q", text, token.text)
				}
			}
			if s := Of([]string{"pgx", "mysql", "sqlite"}[d], text); !utf8.ValidString(s.Text) || len(s.Text) > longestText || strings.ContainsAny(s.Text, "\n\r\x00") {
				t.Errorf("%q: got %q", text, s.Text)
			}
		}
	})
}

func BenchmarkOf(b *testing.B) {
	const text = `SELECT id, text FROM notes WHERE id = $1 AND created_at > '2026-01-01' ORDER BY created_at DESC LIMIT 10`
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			Of("pgx", text)
		}
	})
	b.Run("known", func(b *testing.B) {
		var k Known
		for b.Loop() {
			k.Of("pgx", text)
		}
	})
}

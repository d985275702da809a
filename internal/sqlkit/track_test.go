package sqlkit_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// tracked returns a database of MariaDB or MySQL with the table notes, at version 1, and what
// tracks the migrations of the files.
func tracked(t *testing.T, second string) (*sqlx.DB, func() *sqlkit.Track) {
	t.Helper()
	db := tenancytest.NewServer(t, "mysql").Database(t)
	track := func(fsys fstest.MapFS) *sqlkit.Track {
		return &sqlkit.Track{DB: db, Dialect: sqlkit.MySQL, Files: fsys, Table: "v"}
	}
	if _, err := track(files(makeNotes)).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, func() *sqlkit.Track { return track(files(makeNotes, second)) }
}

// cutOff leaves behind what a process does that dies at the second statement of version 2.
func cutOff(t *testing.T, db *sqlx.DB) sqlkit.Half {
	t.Helper()
	db.MustExec(`CREATE TABLE a (n INT)`)
	db.MustExec(`INSERT INTO tenancy_migrating (lineage, version, up, statement, statement_text, problem) VALUES ('v', 2, TRUE, 2, 'INSERT', '')`)
	return sqlkit.Half{Version: 2, Up: true, Statement: 2, Text: "INSERT"}
}

func halfOf(t *testing.T, db *sqlx.DB) *sqlkit.Half {
	t.Helper()
	h, err := sqlkit.HalfOf(t.Context(), db, sqlkit.MySQL, "v", []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const twoSteps = "-- +goose Up\nCREATE TABLE a (n INT);\nINSERT INTO notes (id) SELECT COUNT(*) FROM notes;\n-- +goose Down\nDROP TABLE a;\n"

// A process that looked before another was cut off finds that out once it has the lock: it does nothing, and the note stays.
func TestTrackStopsAtWhatWasCutOffMeanwhile(t *testing.T) {
	t.Parallel()
	db, track := tracked(t, twoSteps)
	want := cutOff(t, db)
	down := track()
	down.Seen = []int64{1}
	for what, do := range map[string]func() ([]sqlkit.Migration, error){
		"Up":     func() ([]sqlkit.Migration, error) { return track().Up(t.Context()) },
		"DownTo": func() ([]sqlkit.Migration, error) { return down.DownTo(t.Context(), 0) },
	} {
		_, err := do()
		var half *sqlkit.Half
		if !errors.As(err, &half) || *half != want || !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("%s: got %v, want %+v", what, err, want)
		}
		if h := halfOf(t, db); h == nil || *h != want {
			t.Errorf("%s: got %+v noted, want %+v", what, h, want)
		}
	}
	if n := count(t, db, "notes"); n != 0 {
		t.Errorf("got %d notes, want that nothing was carried out", n)
	}
}

// What somebody has looked at is resumed and marked only as long as it is as they saw it.
func TestTrackGoesOnWithWhatWasSeen(t *testing.T) {
	t.Parallel()
	db, track := tracked(t, twoSteps)
	seen := cutOff(t, db)
	seen.Statement = 1 // another has come to the second since
	resume := track()
	resume.Resume, resume.From = &seen, 1
	if _, err := resume.GoOn(t.Context()); !errors.Is(err, sqlkit.ErrChanged) {
		t.Errorf("GoOn: got %v, want ErrChanged", err)
	}
	if err := sqlkit.MarkDone(t.Context(), db, sqlkit.MySQL, "v", &seen); !errors.Is(err, sqlkit.ErrChanged) {
		t.Errorf("MarkDone: got %v, want ErrChanged", err)
	}
	h := halfOf(t, db)
	if h == nil {
		t.Fatal("the note is gone")
	}
	if rest, err := sqlkit.AtRest(t.Context(), db, sqlkit.MySQL, "v"); err != nil || rest == nil || *rest != *h {
		t.Errorf("AtRest: got %+v, %v, want %+v", rest, err, h)
	}
	resume = track()
	resume.Resume, resume.From = h, 2
	if done, err := resume.GoOn(t.Context()); err != nil || len(done) != 1 || done[0].Version != 2 {
		t.Errorf("GoOn: got %+v, %v, want version 2", done, err)
	}
	if n := count(t, db, "notes"); n != 1 {
		t.Errorf("got %d notes, want 1", n)
	}
	if n := count(t, db, "tenancy_migrating"); n != 0 {
		t.Errorf("got %d notes of a migration, want none", n)
	}
}

// A migration that is resumed is the only one: one that came late, with a lower version, would write its note over it.
func TestTrackGoesOnWithNothingElse(t *testing.T) {
	t.Parallel()
	db, _ := tracked(t, twoSteps)
	late := files(makeNotes, seedNote)
	late["00003_step.sql"] = &fstest.MapFile{Data: []byte(twoSteps)}
	h := cutOff(t, db)
	h.Version = 3
	db.MustExec(`UPDATE tenancy_migrating SET version = 3`)
	resume := &sqlkit.Track{DB: db, Dialect: sqlkit.MySQL, Files: late, Table: "v", OutOfOrder: true, Resume: &h, From: 2}
	if done, err := resume.GoOn(t.Context()); err != nil || len(done) != 1 || done[0].Version != 3 {
		t.Errorf("got %+v, %v, want version 3 alone", done, err)
	}
}

// Nobody else gets the lock before the note of a migration that has ended is dealt with: the next note would be theirs.
func TestTrackEndsUnderTheLock(t *testing.T) {
	t.Parallel()
	const gate = `GET_LOCK(CONCAT('gate.', DATABASE()), 600)`
	for what, step := range map[string]string{
		"it succeeds": `DO ` + gate + `;`,
		"it fails":    `INSERT INTO notes (id) SELECT ` + gate + ` UNION ALL SELECT 1;`, // twice the same key
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db, track := tracked(t, "-- +goose Up\nCREATE TABLE a (n INT);\n"+step+"\n")
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			session, err := db.Connx(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = session.Close() }()
			exec := func(query string) {
				t.Helper()
				if _, err := session.ExecContext(ctx, query); err != nil {
					t.Fatal(err)
				}
			}
			until := func(query string) {
				t.Helper()
				err := sqlkit.Poll(ctx, func() (is bool, err error) { err = session.GetContext(ctx, &is, query); return is, err })
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
			}
			exec(`DO ` + gate)
			done := make(chan error, 1)
			go func() { _, err := track().Up(ctx); done <- err }()
			until(`SELECT COUNT(*) = 1 FROM tenancy_migrating WHERE statement = 2`)
			exec(`BEGIN`)
			exec(`UPDATE tenancy_migrating SET statement = statement`) // nobody else can write it
			exec(`DO RELEASE_LOCK(CONCAT('gate.', DATABASE()))`)
			until(`SELECT COUNT(*) = 1 FROM information_schema.processlist
				WHERE db = DATABASE() AND (info LIKE 'DELETE FROM tenancy_migrating%' OR info LIKE 'UPDATE tenancy_migrating%')`)
			var free bool
			err = session.GetContext(ctx, &free, `SELECT IS_FREE_LOCK(CONCAT('tenancy:', SHA1(CONCAT(DATABASE(), '.v'))))`)
			if err != nil || free {
				t.Errorf("got the lock free: %v, %v, want it held", free, err)
			}
			exec(`ROLLBACK`)
			if err := <-done; (err != nil) != (what == "it fails") {
				t.Errorf("got %v", err)
			}
		})
	}
}

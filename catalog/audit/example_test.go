package audit_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "control.db")) // or the application's own *sqlx.DB
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	trail, err := audit.New(db, nil)
	if err != nil {
		log.Fatal(err)
	}
	cat, err := catalog.New(db, &catalog.Options{Audit: trail})
	if err != nil {
		log.Fatal(err)
	}
	for _, migrate := range []func(context.Context) error{trail.Migrate, cat.Migrate} {
		if err := migrate(ctx); err != nil {
			log.Fatal(err)
		}
	}
	acme, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}

	// Somebody changes something, and the audit says who and why.
	asAda := tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "invoice unpaid"})
	if _, err := cat.SetStatus(asAda, acme.ID, tenancy.StatusSuspended); err != nil {
		log.Fatal(err)
	}
	for e, err := range cat.Audit(ctx, catalog.AuditFilter{Tenant: acme.ID, Limit: 1}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range e.Changes {
			fmt.Printf("%s: %s, %s %s → %s, because of %q\n", e.Actor, e.Action, c.Field, c.Before, c.After, e.Actor.Reason)
		}
	}

	// Later somebody alters the entry past the library.
	verify := func() {
		report, err := trail.Verify(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if report.Fault == nil {
			fmt.Println("whole up to entry", report.Number)
		} else {
			fmt.Println("entry", report.Fault.Number, "is", report.Fault.Kind)
		}
	}
	verify()
	if _, err := db.ExecContext(ctx, `UPDATE tenancy_audit SET actor_id = 'bob' WHERE action = 'tenant.status'`); err != nil {
		log.Fatal(err)
	}
	verify()
	// Output:
	// operator:ada: tenant.status, status "active" → "suspended", because of "invoice unpaid"
	// whole up to entry 2
	// entry 2 is altered
}

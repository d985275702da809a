package admin_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// What is exported over HTTP is verified without the database, and has no secret settings.
func TestAuditChain(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.trail, err = audit.New(c.db, &audit.Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	open := func(chain bool) {
		t.Helper()
		if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Audit: c.trail, AuditChain: chain, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
			t.Fatal(err)
		}
	}
	open(false)
	cl := c.as(t, auth.RoleSecurity, tenancy.AllTenants())
	if a := cl.do(t, "GET", "audit/chain", ""); a.problem() != "not-configured" {
		t.Errorf("unless the application says so: got %d %s, want not-configured", a.code, a.body)
	}
	open(true)
	first := cl.do(t, "GET", "audit/chain", "")
	if err := c.trail.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	var signed struct {
		Checkpoints []audit.Checkpoint
		Keys        []string `json:"public_keys"`
	}
	cl.do(t, "GET", "audit/checkpoints", "").into(t, &signed)
	if len(signed.Keys) != 1 || len(signed.Checkpoints) == 0 {
		t.Fatalf("got %+v, want a checkpoint and a key", signed)
	}
	public, err := base64.StdEncoding.DecodeString(signed.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	a := cl.do(t, "GET", "audit/chain", "")
	if !strings.Contains(a.body, "settings.smtp.password") || !strings.HasPrefix(a.body, first.body) {
		t.Errorf("got %s, want the same and more", a.body)
	}
	if report, err := audit.VerifyExport(strings.NewReader(a.body), signed.Checkpoints, ed25519.PublicKey(public)); err != nil || report.Fault != nil || report.Number < 5 {
		t.Errorf("got %+v, %v, want it whole", report, err)
	}
	forged := strings.Replace(a.body, "tenant.create", "tenant.delete", 1)
	if report, err := audit.VerifyExport(strings.NewReader(forged), signed.Checkpoints, ed25519.PublicKey(public)); err == nil && report.Fault == nil {
		t.Errorf("got %+v, want the forgery found", report)
	}
	if a := cl.do(t, "GET", "audit?action=audit.export", ""); !strings.Contains(a.body, "audit-chain.jsonl") {
		t.Errorf("got %s, want the export on the record", a.body)
	}
}

package sqlite

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/artflow-studio/tenancy"
)

// While the making of a database fails, another process may find it and go on with it:
// then it stays.
func TestCreateFailsBesideAClaim(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		claims tenancy.ID // who claims the database
		exists bool       // the error says so
		owner  tenancy.ID // whose the database is in the end
	}{
		"nobody claims it":       {},
		"the tenant":             {claims: "acme", exists: true, owner: "acme"},
		"another of the tenants": {claims: "other", owner: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := New(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			failed := errors.New("failed")
			err = e.make(t.Context(), "acme", "acme", func(ctx context.Context) error {
				if tt.claims != "" {
					if err := e.Claim(ctx, "acme", tt.claims); err != nil {
						t.Error(err)
					}
				}
				return failed
			})
			var left interface{ Left() bool }
			if !errors.Is(err, failed) || errors.Is(err, tenancy.ErrExists) != tt.exists || errors.As(err, &left) != tt.exists {
				t.Errorf("got %v, want the failure, and that the database is left: %v", err, tt.exists)
			}
			if tt.owner == "" {
				if files, err := os.ReadDir(e.dir); err != nil || len(files) > 0 {
					t.Errorf("got %v left, %v, want nothing", files, err)
				}
				return
			}
			if got, err := e.Owner(t.Context(), "acme"); got != tt.owner {
				t.Errorf("got owner %q, %v, want %q", got, err, tt.owner)
			}
		})
	}
}

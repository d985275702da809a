package tenancy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestSaveCheckpoint(t *testing.T) {
	t.Parallel()
	if err := (tenancy.Attempt{}).SaveCheckpoint(t.Context(), "half"); err != nil {
		t.Errorf("outside of a run: %v", err)
	}
	saved, wrong := "", errors.New("wrong")
	a := tenancy.Attempt{Save: func(_ context.Context, checkpoint string) error { saved = checkpoint; return wrong }}
	if err := a.SaveCheckpoint(t.Context(), "half"); !errors.Is(err, wrong) || saved != "half" {
		t.Errorf("got %v and %q saved, want the error of Save and %q", err, saved, "half")
	}
	if err := a.SaveCheckpoint(t.Context(), strings.Repeat("x", 4097)); !errors.Is(err, tenancy.ErrInvalid) || saved != "half" {
		t.Errorf("one that is too long: got %v, want ErrInvalid and nothing saved", err)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	var skipped *tenancy.SkipError
	if err := tenancy.Skip("up to date"); !errors.As(err, &skipped) || err.Error() != "up to date" {
		t.Errorf("got %v, want a SkipError with the reason", err)
	}
}

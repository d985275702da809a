package logs_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy/internal/logs"
)

func textTo(b *bytes.Buffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}

func TestOrKeepsALogger(t *testing.T) {
	t.Parallel()
	own := slog.New(slog.DiscardHandler)
	if got := logs.Or(own); got != own {
		t.Errorf("got %v, want the same logger", got)
	}
}

// It is not parallel: it changes the default logger.
func TestOrAsksForTheDefaultAtEachMessage(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var first, second bytes.Buffer
	slog.SetDefault(textTo(&first, slog.LevelInfo))
	l := logs.Or(nil)
	derived := l.With("part", "cache").WithGroup("of").With("n", 1)
	l.Info("one")
	l.Debug("hidden")
	slog.SetDefault(textTo(&second, slog.LevelDebug))
	l.Debug("two")
	derived.Info("three", "m", 2)

	if got := first.String(); !strings.Contains(got, "msg=one") || strings.Contains(got, "hidden") || strings.Contains(got, "two") {
		t.Errorf("the first default got %q, want one alone", got)
	}
	if got := second.String(); !strings.Contains(got, "msg=two") || !strings.Contains(got, "msg=three part=cache of.n=1 of.m=2") {
		t.Errorf("the second default got %q, want two, and three with its attributes", got)
	}
}

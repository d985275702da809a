// Package logs has the logger that options without one stand for.
package logs

import (
	"context"
	"log/slog"
)

// Or returns logger, or if it is nil a logger that passes each message to [slog.Default] as it is at that moment. An application may
// therefore call [slog.SetDefault] before or after it makes its other parts.
func Or(logger *slog.Logger) *slog.Logger {
	if logger != nil {
		return logger
	}
	return slog.New(current{asItIs})
}

// current is the handler of the default logger at the moment of each call.
type current struct {
	derive func(slog.Handler) slog.Handler // adds attributes and groups
}

func asItIs(h slog.Handler) slog.Handler { return h }

func (c current) handler() slog.Handler { return c.derive(slog.Default().Handler()) }

// Enabled implements [slog.Handler].
func (c current) Enabled(ctx context.Context, level slog.Level) bool {
	return c.handler().Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (c current) Handle(ctx context.Context, r slog.Record) error { return c.handler().Handle(ctx, r) }

// WithAttrs implements [slog.Handler].
func (c current) WithAttrs(attrs []slog.Attr) slog.Handler {
	return current{func(h slog.Handler) slog.Handler { return c.derive(h).WithAttrs(attrs) }}
}

// WithGroup implements [slog.Handler].
func (c current) WithGroup(name string) slog.Handler {
	return current{func(h slog.Handler) slog.Handler { return c.derive(h).WithGroup(name) }}
}

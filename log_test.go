package tenancy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/artflow-studio/tenancy"
)

func TestLogHandler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		with      func(*slog.Logger) *slog.Logger
		in, plain string // the record with a tenant in the context, and without
	}{
		{
			"bare", func(l *slog.Logger) *slog.Logger { return l },
			`{"msg":"m","n":1,"tenant":"t1"}`, `{"msg":"m","n":1}`,
		},
		{
			"attrs", func(l *slog.Logger) *slog.Logger { return l.With("a", 2).With("b", 3) },
			`{"msg":"m","a":2,"b":3,"n":1,"tenant":"t1"}`, `{"msg":"m","a":2,"b":3,"n":1}`,
		},
		{
			"group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") },
			`{"msg":"m","tenant":"t1","g":{"n":1}}`, `{"msg":"m","g":{"n":1}}`,
		},
		{
			"empty group name", func(l *slog.Logger) *slog.Logger { return l.WithGroup("") },
			`{"msg":"m","tenant":"t1","n":1}`, `{"msg":"m","n":1}`,
		},
		{
			"attrs, groups, attrs", func(l *slog.Logger) *slog.Logger {
				return l.With("a", 2).WithGroup("g").With("b", 3).WithGroup("h").With(slog.Group("i", "c", 4))
			},
			`{"msg":"m","tenant":"t1","a":2,"g":{"b":3,"h":{"i":{"c":4},"n":1}}}`, `{"msg":"m","a":2,"g":{"b":3,"h":{"i":{"c":4},"n":1}}}`,
		},
	} {
		var out bytes.Buffer
		dropTime := func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}
		l := tt.with(slog.New(tenancy.NewLogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: dropTime}))))
		for _, c := range []struct {
			ctx  context.Context
			want string
		}{{tenancy.NewContext(t.Context(), validTenant()), tt.in}, {t.Context(), tt.plain}} {
			out.Reset()
			l.InfoContext(c.ctx, "m", "n", 1)
			var got, want map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%s: %v in %s", tt.name, err, &out)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) || strings.Count(out.String(), `"tenant"`) != strings.Count(c.want, `"tenant"`) {
				t.Errorf("%s: got %s, want %s", tt.name, &out, c.want)
			}
		}
	}
}

func TestLogHandlerBranchesDoNotMix(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx := tenancy.NewContext(t.Context(), validTenant())
	trunk := slog.New(tenancy.NewLogHandler(slog.NewTextHandler(&out, nil))).WithGroup("g").With("a", 1).With("b", 2)
	left, right := trunk.With("left", 3), trunk.With("right", 4)
	for _, tt := range []struct {
		l    *slog.Logger
		want string
	}{
		{left, " tenant=t1 g.a=1 g.b=2 g.left=3\n"},
		{right, " tenant=t1 g.a=1 g.b=2 g.right=4\n"},
		{trunk, " tenant=t1 g.a=1 g.b=2\n"},
	} {
		out.Reset()
		tt.l.InfoContext(ctx, "m")
		if !strings.HasSuffix(out.String(), "msg=m"+tt.want) {
			t.Errorf("got %q, want it to end in %q", out.String(), tt.want)
		}
	}
}

func TestLogHandlerLeavesTheRecord(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := tenancy.NewLogHandler(slog.NewTextHandler(&out, nil))
	ctx := tenancy.NewContext(t.Context(), validTenant())
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
	for i, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // more than a record holds inline, and room for one more
		r.Add(key, i)
	}
	for range 2 {
		out.Reset()
		if err := h.Handle(ctx, r); err != nil {
			t.Fatal(err)
		}
		if want := "level=INFO msg=m a=0 b=1 c=2 d=3 e=4 f=5 g=6 h=7 tenant=t1\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
	if r.NumAttrs() != 8 {
		t.Errorf("got %d attributes in the caller's record, want 8", r.NumAttrs())
	}
}

func TestLogHandlerAsksTheLevel(t *testing.T) {
	t.Parallel()
	h := tenancy.NewLogHandler(slog.NewTextHandler(nil, &slog.HandlerOptions{Level: slog.LevelWarn})).WithGroup("g")
	if h.Enabled(t.Context(), slog.LevelInfo) || !h.Enabled(t.Context(), slog.LevelWarn) {
		t.Error("got a handler with another level than the one underneath")
	}
}

// inTenant gives every record a context with a tenant.
type inTenant struct{ slog.Handler }

func (h inTenant) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(tenancy.NewContext(ctx, validTenant()), r)
}
func (h inTenant) WithAttrs(attrs []slog.Attr) slog.Handler {
	return inTenant{h.Handler.WithAttrs(attrs)}
}
func (h inTenant) WithGroup(name string) slog.Handler { return inTenant{h.Handler.WithGroup(name)} }

func TestLogHandlerIsAHandler(t *testing.T) {
	t.Parallel()
	for _, tenant := range []bool{false, true} {
		var out bytes.Buffer
		h := tenancy.NewLogHandler(slog.NewJSONHandler(&out, nil))
		if tenant {
			h = inTenant{h}
		}
		err := slogtest.TestHandler(h, func() (records []map[string]any) {
			for line := range bytes.Lines(out.Bytes()) {
				var m map[string]any
				if err := json.Unmarshal(line, &m); err != nil {
					t.Fatal(err)
				}
				if got := m["tenant"] == "t1"; got != tenant {
					t.Errorf("got %s, want a tenant: %v", line, tenant)
				}
				records = append(records, m)
			}
			return records
		})
		if err != nil {
			t.Errorf("with a tenant %v: %v", tenant, err)
		}
	}
}

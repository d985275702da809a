package tenancy

import (
	"context"
	"log/slog"
)

// NewLogHandler returns a [slog.Handler] that adds the attribute "tenant" with the tenant's ID to each record
// whose context carries a tenant, and the attribute "request_id" if the context knows the request. Log with
// [slog.InfoContext] and the like: a record without a context gets neither. Groups that are opened on the new
// handler do not contain the attributes.
func NewLogHandler(h slog.Handler) slog.Handler { return &logHandler{root: h, bound: h} }

// logHandler keeps what was done to the handler, because an attribute that
// belongs at the top level has to be added before the groups are opened.
type logHandler struct {
	root  slog.Handler // without any group
	bound slog.Handler // root with steps done
	steps []func(slog.Handler) slog.Handler
	group bool // a step opened a group
}

func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.root.Enabled(ctx, l)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var room [2]slog.Attr
	attrs := room[:0]
	if t, ok := FromContext(ctx); ok {
		attrs = append(attrs, slog.String("tenant", string(t.ID)))
	}
	if request, ok := RequestFrom(ctx); ok && request.ID != "" {
		attrs = append(attrs, slog.String("request_id", request.ID))
	}
	if len(attrs) == 0 {
		return h.bound.Handle(ctx, r)
	}
	if !h.group {
		r = r.Clone()
		r.AddAttrs(attrs...)
		return h.bound.Handle(ctx, r)
	}
	out := h.root.WithAttrs(attrs)
	for _, step := range h.steps {
		out = step(out)
	}
	return out.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(h.group, func(in slog.Handler) slog.Handler { return in.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(true, func(in slog.Handler) slog.Handler { return in.WithGroup(name) })
}

func (h *logHandler) with(group bool, step func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{
		root:  h.root,
		bound: step(h.bound),
		steps: append(h.steps[:len(h.steps):len(h.steps)], step),
		group: group,
	}
}

package tenancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

type order struct {
	Number int
	Note   string `json:",omitempty"`
}

// findFunc is a finder that answers what the function says.
type findFunc func(tenancy.Ref) (*tenancy.Tenant, error)

func (f findFunc) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) { return f(ref) }

// unasked fails the test when somebody asks it.
func unasked(t testing.TB) tenancy.Finder {
	return findFunc(func(ref tenancy.Ref) (*tenancy.Tenant, error) {
		t.Errorf("the finder was asked for %v, want no look-up", ref)
		return nil, tenancy.ErrUnavailable
	})
}

// sealed returns the JSON of an envelope.
func sealed[T any](t testing.TB, id tenancy.ID, payload T) []byte {
	t.Helper()
	e, err := tenancy.SealJob(as(t, id), payload)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEnvelopeFormat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(123456789) // of the bubble's clock
		e, err := tenancy.SealJob(as(t, "acme"), order{Number: 7})
		if err != nil {
			t.Fatal(err)
		}
		if e.SealedAt.Location() != time.UTC {
			t.Errorf("got a time in %v, want UTC", e.SealedAt.Location())
		}
		bare, err := json.Marshal(*e)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"tenant":"acme","sealed_at":"2000-01-01T00:00:00.123456Z","payload":{"Number":7}}`; string(bare) != want {
			t.Errorf("got %s, want %s", bare, want)
		}
		e.Trace["traceparent"] = "00-1-2-01"
		traced, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"tenant":"acme","sealed_at":"2000-01-01T00:00:00.123456Z","trace":{"traceparent":"00-1-2-01"},"payload":{"Number":7}}`; string(traced) != want {
			t.Errorf("got %s, want %s", traced, want)
		}
		// As a queue's own arguments, which another program wrote anew.
		var args struct{ Job tenancy.Envelope[order] }
		if err := json.Unmarshal(fmt.Appendf(nil, `{"Job": {"payload": {"Number": 7}, "trace": {"traceparent": "00-1-2-01"},
			"tenant": "\u0061cme", "sealed_at": "2000-01-01T00:00:00.123456Z"}}`), &args); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, &args.Job); diff != "" {
			t.Errorf("read anew (-want +got):\n%s", diff)
		}
		var again tenancy.Envelope[order]
		if err := json.Unmarshal(bare, &again); err != nil || again.Trace == nil {
			t.Errorf("without a trace: got %+v, %v, want a map to write to", again, err)
		}
	})
}

func TestSealNeedsATenant(t *testing.T) {
	t.Parallel()
	if e, err := tenancy.SealJob(t.Context(), 1); e != nil || !errors.Is(err, tenancy.ErrNoTenant) {
		t.Errorf("without a tenant: got %v, %v, want ErrNoTenant", e, err)
	}
	if e, err := tenancy.SealJob(as(t, "A b"), 1); e != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("with a malformed ID: got %v, %v, want ErrInvalid", e, err)
	}
}

// A job that was sealed while its tenant was active is opened in each status
// that the tenant may have by then, and again when it is active again.
func TestJobThroughAllStatuses(t *testing.T) {
	t.Parallel()
	for _, status := range tenancy.Statuses() {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			const id = "acme-1"
			data := sealed(t, id, order{7, "<ä>"})
			cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: id, Slug: "acme", Status: status})
			ctx, job, err := tenancy.OpenJob[order](t.Context(), cat, data)
			if status != tenancy.StatusActive {
				var s *tenancy.StatusError
				if ctx != nil || job != nil || !errors.Is(err, tenancy.ErrNotActive) || !errors.As(err, &s) || s.Status != status || s.Tenant.ID != id {
					t.Fatalf("got %v, %v, %v, want a StatusError that says %s", ctx, job, err, status)
				}
				wantTenant(t, err, "tenancy.OpenJob", id)
				if status == tenancy.StatusPurging { // from which none comes back
					return
				}
				for _, next := range []tenancy.Status{tenancy.StatusInactive, tenancy.StatusActive} {
					if _, err := cat.SetStatus(t.Context(), id, next); err != nil {
						t.Fatal(err)
					}
				}
				ctx, job, err = tenancy.OpenJob[order](t.Context(), cat, data)
			}
			if err != nil || job.Payload != (order{7, "<ä>"}) || job.Tenant != id {
				t.Fatalf("of an active tenant: got %+v, %v, want the job", job, err)
			}
			if got, ok := tenancy.FromContext(ctx); !ok || got.ID != id || got.Status != tenancy.StatusActive {
				t.Errorf("got the tenant %+v in the context, want %s, active", got, id)
			}

			if _, err := cat.Rename(t.Context(), id, "umbrella"); err != nil {
				t.Fatal(err)
			}
			ctx, err = job.Restore(ctx, cat) // in the context of the same tenant
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tenancy.Require(ctx); err != nil || got.Slug != "umbrella" {
				t.Errorf("after a change of the slug: got %+v, %v, want the record of now", got, err)
			}

			for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
				if _, err := cat.SetStatus(t.Context(), id, status); err != nil {
					t.Fatal(err)
				}
			}
			if err := cat.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			gone, none, err := tenancy.OpenJob[order](t.Context(), cat, data)
			if gone != nil || none != nil || !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("of a tenant that was deleted: got %v, %v, %v, want ErrNotFound", gone, none, err)
			}
			wantTenant(t, err, "tenancy.OpenJob", id)
			gone, err = job.Restore(t.Context(), cat)
			if gone != nil || !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("Restore: got %v, %v, want ErrNotFound", gone, err)
			}
			wantTenant(t, err, "tenancy.Envelope.Restore", id)
		})
	}
}

// wantTenant fails the test unless the error says which tenant's job it is about.
func wantTenant(t *testing.T, err error, op string, id tenancy.ID) {
	t.Helper()
	var e *tenancy.Error
	if !errors.As(err, &e) || e.Op != op || e.Tenant != id {
		t.Errorf("got %v, want an error of %s that names the tenant %s", err, op, id)
	}
}

func TestOpenWhenTheFinderFails(t *testing.T) {
	t.Parallel()
	errOdd := errors.New("an error that unwraps to nothing")
	acme := &tenancy.Tenant{ID: "acme", Status: tenancy.StatusActive}
	sentinels := []error{
		tenancy.ErrUnavailable, tenancy.ErrNotFound, tenancy.ErrInvalid, tenancy.ErrForbidden, tenancy.ErrNotActive,
		context.Canceled, context.DeadlineExceeded, errOdd,
	}
	for _, tt := range []struct {
		name string
		find findFunc
		want error // the only one of the sentinels
	}{
		{"down", func(tenancy.Ref) (*tenancy.Tenant, error) { return nil, fmt.Errorf("dial: %w", tenancy.ErrUnavailable) }, tenancy.ErrUnavailable},
		{"cancelled", func(tenancy.Ref) (*tenancy.Tenant, error) { return nil, context.Canceled }, context.Canceled},
		{"too slow", func(tenancy.Ref) (*tenancy.Tenant, error) { return nil, context.DeadlineExceeded }, context.DeadlineExceeded},
		{"odd", func(tenancy.Ref) (*tenancy.Tenant, error) { return nil, errOdd }, errOdd},
		{"both", func(tenancy.Ref) (*tenancy.Tenant, error) { return acme, tenancy.ErrUnavailable }, tenancy.ErrUnavailable},
		{"nothing", func(tenancy.Ref) (*tenancy.Tenant, error) { return nil, nil }, nil},
		{"another", func(tenancy.Ref) (*tenancy.Tenant, error) {
			return &tenancy.Tenant{ID: "globex", Status: "active"}, nil
		}, nil},
		{"no status", func(tenancy.Ref) (*tenancy.Tenant, error) { return &tenancy.Tenant{ID: "acme"}, nil }, tenancy.ErrNotActive},
	} {
		ctx, job, err := tenancy.OpenJob[order](t.Context(), tt.find, sealed(t, "acme", order{Number: 7}))
		if ctx != nil || job != nil || err == nil {
			t.Errorf("%s: got %v, %v, %v, want an error and nothing else", tt.name, ctx, job, err)
		}
		for _, sentinel := range sentinels {
			if got, want := errors.Is(err, sentinel), errors.Is(tt.want, sentinel); got != want {
				t.Errorf("%s: got %v, which is %v: %v, want %v", tt.name, err, sentinel, got, want)
			}
		}
	}
	asked := 0
	find := findFunc(func(ref tenancy.Ref) (*tenancy.Tenant, error) {
		asked++
		if ref != (tenancy.Ref{Kind: tenancy.RefID, Value: "acme"}) {
			t.Errorf("asked for %v, want id:acme", ref)
		}
		return acme, nil
	})
	if _, _, err := tenancy.OpenJob[order](t.Context(), find, sealed(t, "acme", order{})); err != nil || asked != 1 {
		t.Errorf("got %v and %d look-ups, want one", err, asked)
	}
}

func TestNoJobInAnothersContext(t *testing.T) {
	t.Parallel()
	data := sealed(t, "acme", order{Number: 7})
	ctx, job, err := tenancy.OpenJob[order](as(t, "globex"), unasked(t), data)
	if ctx != nil || job != nil || !errors.Is(err, tenancy.ErrForbidden) || errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Open: got %v, %v, %v, want ErrForbidden", ctx, job, err)
	}
	var e tenancy.Envelope[order]
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	if ctx, err := e.Restore(as(t, "globex"), unasked(t)); ctx != nil || !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("Restore: got %v, %v, want ErrForbidden", ctx, err)
	}
	if ctx, err := new(tenancy.Envelope[order]).Restore(t.Context(), unasked(t)); ctx != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Restore of nothing: got %v, %v, want ErrInvalid", ctx, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	const good = `{"tenant":"acme","sealed_at":"2000-01-01T00:00:00Z","payload":{"Number":7}}`
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	find := findFunc(func(tenancy.Ref) (*tenancy.Tenant, error) {
		return &tenancy.Tenant{ID: "acme", Status: tenancy.StatusActive}, nil
	})
	for _, data := range []string{good, swap("{", "\n { "), good + "\n", swap("{", `{"trace":{},`), swap("{", `{"trace":null,`)} {
		if _, job, err := tenancy.OpenJob[order](t.Context(), find, []byte(data)); err != nil || job.Payload.Number != 7 {
			t.Errorf("%s: got %+v, %v, want the job", data, job, err)
		}
	}
	for name, data := range map[string]string{
		"nothing":             "",
		"null":                "null",
		"a text":              `"acme"`,
		"an array":            "[" + good + "]",
		"an empty object":     "{}",
		"foreign":             `{"id":7,"job_class":"Mailer","args":[]}`,
		"another behind it":   good + good,
		"dirt behind it":      good + "}",
		"no tenant":           swap(`"tenant":"acme",`, ""),
		"no time":             swap(`"sealed_at":"2000-01-01T00:00:00Z",`, ""),
		"no payload":          swap(`,"payload":{"Number":7}`, ""),
		"empty tenant":        swap(`"acme"`, `""`),
		"tenant null":         swap(`"acme"`, `null`),
		"tenant a number":     swap(`"acme"`, `7`),
		"malformed tenant":    swap(`"acme"`, `"Acme"`),
		"broken UTF-8":        swap(`"acme"`, "\"acme\xff\""),
		"time null":           swap(`"2000-01-01T00:00:00Z"`, "null"),
		"time a number":       swap(`"2000-01-01T00:00:00Z"`, "7"),
		"a text for a time":   swap("2000-01", strings.Repeat("x", 1000)),
		"zero time":           swap("2000", "0001"),
		"odd trace":           swap("{", `{"trace":"00-1-2-01",`),
		"odd payload":         swap(`{"Number":7}`, `"seven"`),
		"tenant twice":        swap("{", `{"tenant":"globex",`),
		"tenant in two cases": swap("{", `{"Tenant":"globex",`),
		"only in upper case":  swap(`"tenant"`, `"TENANT"`),
		"tenant, escaped":     swap("{", `{"\u0074enant":"globex",`),
		"unknown field":       swap("{", `{"on_behalf_of":"globex",`),
		"empty field":         swap("{", `{"":1,`),
		"too long":            swap("{", "{"+strings.Repeat(" ", 4<<20)),
	} {
		ctx, job, err := tenancy.OpenJob[order](t.Context(), unasked(t), []byte(data))
		if ctx != nil || job != nil || !errors.Is(err, tenancy.ErrInvalid) || !strings.HasPrefix(err.Error(), "tenancy.OpenJob: ") {
			t.Errorf("%s: got %v, %+v, %v, want ErrInvalid", name, ctx, job, err)
		} else if len(err.Error()) > 500 {
			t.Errorf("%s: got an error of %d bytes", name, len(err.Error()))
		}
		before := tenancy.Envelope[order]{Tenant: "globex", Payload: order{Number: 9}}
		after := before
		if err := json.Unmarshal([]byte(data), &after); err == nil || !cmp.Equal(before, after) {
			t.Errorf("%s: json.Unmarshal: got %+v, %v, want an error and no change", name, after, err)
		}
	}
	for i := range good {
		if ctx, job, err := tenancy.OpenJob[order](t.Context(), unasked(t), []byte(good[:i])); ctx != nil || job != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("cut off after %d bytes: got %v, %v, %v, want ErrInvalid", i, ctx, job, err)
		}
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	overhead := len(sealed(t, "acme", order{Note: "x"})) - 1 + 7 // the time may have six digits more, and a dot
	find := findFunc(func(tenancy.Ref) (*tenancy.Tenant, error) {
		return &tenancy.Tenant{ID: "acme", Status: tenancy.StatusActive}, nil
	})
	if _, job, err := tenancy.OpenJob[order](t.Context(), find, sealed(t, "acme", order{Note: long[overhead:]})); err != nil || len(job.Payload.Note) != len(long)-overhead {
		t.Errorf("nearly too long: %v", err)
	}
	now := time.Now()
	for name, e := range map[string]any{
		"too long":        tenancy.Envelope[order]{Tenant: "acme", SealedAt: now, Payload: order{Note: long}},
		"too long trace":  &tenancy.Envelope[int]{Tenant: "acme", SealedAt: now, Trace: map[string]string{"x": long}},
		"no tenant":       tenancy.Envelope[int]{SealedAt: now},
		"no time":         &tenancy.Envelope[int]{Tenant: "acme"},
		"odd tenant":      tenancy.Envelope[int]{Tenant: "a/b", SealedAt: now},
		"what is no JSON": &tenancy.Envelope[chan int]{Tenant: "acme", SealedAt: now},
	} {
		if data, err := json.Marshal(e); data != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %.100s, %v, want ErrInvalid", name, data, err)
		}
	}
}

func TestManyJobsAtOnce(t *testing.T) {
	t.Parallel()
	var tenants []*tenancy.Tenant
	for i := range 8 {
		slug := fmt.Sprintf("n%d", i)
		tenants = append(tenants, &tenancy.Tenant{ID: tenancy.ID("id-" + slug), Slug: slug})
	}
	cat := tenancytest.NewCatalog(t, tenants...)
	queue := make(chan []byte, 16)
	var senders, workers sync.WaitGroup
	for _, each := range tenants {
		senders.Go(func() {
			for range 50 {
				queue <- sealed(t, each.ID, each.Slug)
			}
		})
	}
	for range 4 {
		workers.Go(func() {
			for data := range queue {
				ctx, job, err := tenancy.OpenJob[string](t.Context(), cat, data)
				if err != nil {
					t.Error(err)
					continue
				}
				if got, err := tenancy.Require(ctx); err != nil || got.Slug != job.Payload {
					t.Errorf("got %+v, %v for the job of %s", got, err, job.Payload)
				}
			}
		})
	}
	senders.Wait()
	close(queue)
	workers.Wait()
}

// FuzzOpen looks whether what is opened is opened for the tenant that another
// reader of the same JSON sees, and means the same when it is written anew.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"tenant":"acme","sealed_at":"2000-01-01T00:00:00Z","payload":{"Number":7}}`))
	f.Add([]byte(`{"tenant":"acme","tenant":"globex","sealed_at":"2000-01-01T00:00:00.5+01:00","payload":{}}`))
	f.Add([]byte(`{"Tenant":"acme","tenant":"a","sealed_at":"2000-01-01T00:00:00Z","payload":{}}`))
	f.Add([]byte(`{"payload":null,"trace":{"traceparent":"00-1-2-01"},"sealed_at":"2000-01-01T00:00:00Z","tenant":"\u0061"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		find := findFunc(func(ref tenancy.Ref) (*tenancy.Tenant, error) {
			return &tenancy.Tenant{ID: tenancy.ID(ref.Value), Status: tenancy.StatusActive}, nil
		})
		ctx, job, err := tenancy.OpenJob[json.RawMessage](t.Context(), find, data)
		if err != nil {
			if ctx != nil || job != nil || !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("got %v, %v, %v, want ErrInvalid and nothing else", ctx, job, err)
			}
			return
		}
		got, err := tenancy.Require(ctx)
		if err != nil || got.ID != job.Tenant {
			t.Fatalf("got %v, %v, want the tenant %s", got, err, job.Tenant)
		}
		var other map[string]any
		if err := json.Unmarshal(data, &other); err != nil || other["tenant"] != string(got.ID) {
			t.Errorf("opened for %s, where another reader sees %v, %v", got.ID, other["tenant"], err)
		}
		var folded struct{ Tenant, Sealed_At, Trace, Payload any } //nolint:revive // names without tags match in any case
		if err := json.Unmarshal(data, &folded); err != nil || folded.Tenant != string(got.ID) {
			t.Errorf("opened for %s, where a reader that folds sees %v, %v", got.ID, folded.Tenant, err)
		}
		anew, err := json.Marshal(job)
		if err != nil {
			return // years that RFC 3339 does not have, and what grew too long
		}
		if _, again, err := tenancy.OpenJob[json.RawMessage](t.Context(), find, anew); err != nil || again.Tenant != job.Tenant || !again.SealedAt.Equal(job.SealedAt) {
			t.Errorf("written anew: got %+v, %v, want %+v", again, err, job)
		}
	})
}

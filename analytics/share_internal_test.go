package analytics

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// fill puts something into everything that the value leads to.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.String:
		v.SetString("x")
	}
}

// addresses collects where a value's parts are that can be changed.
func addresses(v reflect.Value, into map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			into[v.Pointer()] = true
			addresses(v.Elem(), into)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			into[v.Pointer()] = true
		}
		for i := range v.Len() {
			addresses(v.Index(i), into)
		}
	case reflect.Map:
		if !v.IsNil() {
			into[v.Pointer()] = true
		}
		for entry := v.MapRange(); entry.Next(); {
			addresses(entry.Value(), into)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				addresses(v.Field(i), into)
			}
		}
	}
}

// A copy of a report or of a request is equal, and has nothing in common with it.
func TestCopyOf(t *testing.T) {
	t.Parallel()
	requests := []any{
		&TenantsRequest{}, &SeriesRequest{}, &CompareRequest{}, &ForecastRequest{}, &MonthsRequest{}, &PatternsRequest{}, TopRequest{}, tenantRequest{}, spreadRequest{}, Period{}, nothing{},
	}
	for _, v := range append(requests,
		&Overview{}, &TenantsPage{}, &TenantReport{}, &SeriesReport{}, &Trend{}, &SpreadReport{}, &Forecast{}, &StorageReport{}, []TenantUsage{}, &Comparison{},
		&PeriodComparison{}, &Performance{}, &Neighbours{}, &MemoryReport{}, &MonthsPage{}, &PatternsReport{},
	) {
		full := reflect.New(reflect.TypeOf(v)).Elem()
		fill(full, 0)
		box := reflect.New(full.Type()).Elem()
		box.Set(full)
		copyInto(box)
		if !reflect.DeepEqual(box.Interface(), full.Interface()) {
			t.Errorf("%T: got %+v, want %+v", v, box, full)
		}
		own, others := map[uintptr]bool{}, map[uintptr]bool{}
		addresses(full, own)
		addresses(box, others)
		if len(own) != len(others) {
			t.Errorf("%T: got %d parts, want %d", v, len(others), len(own))
		}
		for at := range others {
			if own[at] {
				t.Errorf("%T: a part is shared", v)
			}
		}
	}
	for _, v := range requests {
		if keyOf(time.Time{}, 0, v) == (shareKey{}) { // it panics where it does not know a type
			t.Errorf("%T: no key", v)
		}
	}
}

// Nothing is left of an answer when it is too old, of one that gave way to others, or of work for which nobody waits.
func TestShareKeepsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(time.Second, 2)
		left := func(want int) {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.answers) != want || len(s.kept) != want {
				t.Errorf("got %d answers, %d of them kept, want %d", len(s.answers), len(s.kept), want)
			}
		}
		ask := func(ctx context.Context, n int) {
			_, _ = s.get(ctx, keyOf(time.Time{}, 0, n), func(ctx context.Context) (any, error) {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
				}
				return n, ctx.Err()
			})
		}
		for n := range 5 {
			ask(t.Context(), n)
		}
		left(2)
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		ask(gone, 10)
		left(2)
		time.Sleep(time.Second)
		left(0)
		ask(t.Context(), 1)
		s.renew()
		left(0)
		time.Sleep(time.Hour)
		left(0)
	})
}

// Values of one shape with another content have another key.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	seen := map[shareKey]int{}
	for i, v := range []any{
		Period{}, Period{now.Add(-time.Hour), now}, Period{now.Add(-2 * time.Hour), now}, Period{now.Add(-time.Hour), now.Add(-2 * time.Second)}, Period{now, now},
		Period{now, now.Add(-time.Hour)}, Period{From: now}, Period{To: now}, Period{now.Add(-time.Hour), now.Add(-2*time.Second + 1)},
		spreadRequest{Names: []string{"ab", "c"}}, spreadRequest{Names: []string{"a", "bc"}}, spreadRequest{Names: []string{"abc"}}, spreadRequest{},
		new(tenancy.AllTenants()), (*tenancy.Scope)(nil), &tenancy.Scope{}, new(tenancy.ByTags("a")), new(tenancy.ByIDs("a")),
		new(tenancy.ByTags("a", "b")), new(tenancy.ByTags("ab")), new(tenancy.ByTags(`a" "b`)), new(tenancy.ByTags("a,b")), new(tenancy.ByTags("\xff")), new(tenancy.ByTags("\xfe")),
		1.5, 2.5,
	} {
		key := keyOf(now, time.Second, v)
		if other, ok := seen[key]; ok {
			t.Errorf("%d (%+v) has the key of %d", i, v, other)
		}
		seen[key] = i
	}
	later := now.Add(time.Hour)
	if keyOf(now, time.Second, Period{now.Add(-time.Hour), now}) != keyOf(later, time.Second, Period{later.Add(-time.Hour - time.Second), later.Add(-time.Second)}) {
		t.Error("two periods of an hour that end now have different keys")
	}
}

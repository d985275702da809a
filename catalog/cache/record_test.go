package cache

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
)

func FuzzDecodeRecord(f *testing.F) {
	format := recordFormat()
	for _, text := range []string{
		"", "-", format, format + " e 1 2 -", format + " e 1 2 {}", format + " e x 2 -", format + " e 1 x -", "0 e 1 2 -", "\x00\xff   \n",
		format + ` e 1 2 {"id":"a","slug":"a","name":"A","status":"active","version":1,"placement":{}}`,
		format + ` e 1 2 {"id":"a","slug":"a","status":"active","version":1,"created_at":"2020-01-01T00:00:00+02:00"}`,
		format + ` e 9999999999999999999 2 -`, format + ` e 1 2 null`, format + ` e 1 2 []`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := decodeRecord(text, format)
		if err != nil {
			if diff := cmp.Diff(redisRecord{}, r, cmp.AllowUnexported(redisRecord{})); diff != "" {
				t.Errorf("got a record beside an error: %s", diff)
			}
			return
		}
		if !strings.HasPrefix(text, format+" "+r.epoch+" ") {
			t.Errorf("got epoch %q of %q", r.epoch, text)
		}
		if r.tenant == nil {
			if !strings.HasSuffix(text, " -") {
				t.Errorf("got a mark of %q", text)
			}
			return
		}
		if err := r.tenant.Validate(); err != nil || r.tenant.Version < 1 {
			t.Errorf("got %+v, %v", r.tenant, err)
		}
		b, err := json.Marshal(r.tenant)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeRecord(format+" e 1 2 "+string(b), format)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.tenant, again.tenant); diff != "" {
			t.Errorf("encoded and decoded: -want +got\n%s", diff)
		}
	})
}

// As with what SQL returns; see TestStatusIsTheConstant.
func TestDecodedStatusIsTheConstant(t *testing.T) {
	t.Parallel()
	r, err := decodeRecord(`f e 1 2 {"id":"a","slug":"a","name":"A","status":"active","version":1,"placement":{}}`, "f")
	if err != nil {
		t.Fatal(err)
	}
	if unsafe.StringData(string(r.tenant.Status)) != unsafe.StringData(string(tenancy.StatusActive)) {
		t.Errorf("the status %q has memory of its own", r.tenant.Status)
	}
}

func TestParseRefs(t *testing.T) {
	t.Parallel()
	got, removed := parseRefs("id:a\nslug:b\n\nkey:secret\nslug:B\nodd\nnone:x\ndomain:c.example\nremoved:a\nremoved:\nremoved:a b\nslug:d")
	want := []tenancy.Ref{
		{Kind: tenancy.RefID, Value: "a"}, {Kind: tenancy.RefSlug, Value: "b"}, {Kind: tenancy.RefDomain, Value: "c.example"},
		{Kind: tenancy.RefSlug, Value: "d"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(removed) != 1 || removed[0] != "a" {
		t.Errorf("got %q removed, want a", removed)
	}
}

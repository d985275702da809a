package audit

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
)

// The form that docs/audit.md specifies: other programs read it.
func TestCanonicalForm(t *testing.T) {
	t.Parallel()
	full := tenancy.Entry{
		ID: "01k0000000000000000000000a", Time: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC), Action: "tenant.status", Tenant: "acme",
		Object: "key", Result: tenancy.AuditDone, Problem: "a\tb\x01\"\\", Count: 1,
		Actor: tenancy.Actor{
			Kind: tenancy.ActorOperator, ID: "ada", Address: netip.MustParseAddr("2001:db8::7"), UserAgent: "<curl>", RequestID: "r", Reason: "Größe 😀", Queued: true,
		},
		Changes: []tenancy.FieldChange{{Field: "plan", After: json.RawMessage(`"gold"`)}, {Field: "status", Before: json.RawMessage(`"a"`), After: json.RawMessage(`1`)}},
	}
	for what, tt := range map[string]struct {
		e    tenancy.Entry
		want string
	}{
		"full": {full, `{"action":"tenant.status","actor":{"address":"2001:db8::7","id":"ada","kind":"operator","queued":1,"reason":"Größe 😀","request_id":"r","user_agent":"<curl>"},` +
			`"changes":[{"after":"\"gold\"","before":"","field":"plan"},{"after":"1","before":"\"a\"","field":"status"}],"count":1,"id":"01k0000000000000000000000a",` +
			`"number":7,"object":"key","problem":"a\tb\u0001\"\\","result":"done","tenant":"acme","time":1770091506000007}`},
		"least": {tenancy.Entry{ID: "x", Time: time.Unix(0, 0), Action: "a.b", Result: tenancy.AuditDenied, Count: 3, Actor: tenancy.Actor{Kind: tenancy.ActorUnknown}},
			`{"action":"a.b","actor":{"address":"","id":"","kind":"unknown","queued":0,"reason":"","request_id":"","user_agent":""},` +
				`"changes":[],"count":3,"id":"x","number":7,"object":"","problem":"","result":"denied","tenant":"","time":0}`},
	} {
		r := recordOf(tt.e)
		line := r.appendLine(nil, 7)
		if string(line) != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, line, tt.want)
		}
		if !json.Valid(line) {
			t.Errorf("%s: %s is no JSON", what, line)
		}
	}
	r := recordOf(full) // the hash is that of sha256sum
	if got, want := chain(genesis, r.appendLine(nil, 7)), "c26b79a84553b5a6cb840308bc4c19c23f76e58c416dfab05c7364ac93aa8bc8"; got != want {
		t.Errorf("got the hash %s, want %s", got, want)
	}
}

// A text that is read as JSON is the text, and no two texts have one form.
func FuzzText(f *testing.F) {
	f.Add("a\x00\x1f\b\t\n\f\r\"\\/<>&\u2028\u007f😀")
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, s string) {
		b := appendText(nil, s)
		if strings.ContainsAny(string(b), "\n\r") {
			t.Errorf("%q: got a line break", s)
		}
		var back string
		if !utf8.ValidString(s) {
			return
		}
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Errorf("%q: got %s, read as %q, %v", s, b, back, err)
		}
	})
}

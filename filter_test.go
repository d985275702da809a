package tenancy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
)

// added are fields that another package brings.
var added = []tenancy.Field{
	{Name: "health"}, {Name: "requests", Kind: tenancy.FieldNumber}, {Name: "seen", Kind: tenancy.FieldTime},
}

func term(field string, kind tenancy.FieldKind, op tenancy.Op, values ...string) []tenancy.Term {
	return []tenancy.Term{{Field: field, Kind: kind, Op: op, Values: values}}
}

func TestParseFilter(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	type filter = tenancy.Filter
	for text, tt := range map[string]struct {
		want filter
		back string // the text form, unless it is the same
	}{
		"": {},
		"status:active,suspended plan:pro tag:eu created:>2026-01-01 acme": {filter{Status: []tenancy.Status{"active", "suspended"},
			Plan: "pro", Tags: []string{"eu"}, CreatedFrom: day(2), Text: "acme"},
			"status:active,suspended plan:pro tag:eu created:>=2026-01-02 acme"},
		"  Acme   Ltd ":            {filter{Text: "Acme Ltd"}, "Acme Ltd"},
		`acme status:active ltd`:   {filter{Status: []tenancy.Status{"active"}, Text: "acme ltd"}, "status:active acme ltd"},
		`STATUS:Active Tag:EU`:     {filter{Status: []tenancy.Status{"active"}, Tags: []string{"eu"}}, "status:active tag:eu"},
		`plan:"Pro, yearly"`:       {filter{Plan: "Pro, yearly"}, ""},
		`plan:"a \"b\" \\"`:        {filter{Plan: `a "b" \`}, `plan:"a \"b\" \\"`},
		`plan:">9"`:                {filter{Plan: ">9"}, ""},
		`tag:team:a`:               {filter{Tags: []string{"team:a"}}, ""},
		`id:acme,bolt server:eu-1`: {filter{IDs: []tenancy.ID{"acme", "bolt"}, Server: "eu-1"}, ""},
		`schema:<12`:               {filter{SchemaBefore: 12}, ""},
		`schema:<=11`:              {filter{SchemaBefore: 12}, "schema:<12"},
		`schema:>=12`:              {filter{SchemaFrom: 12}, ""},
		`schema:>11`:               {filter{SchemaFrom: 12}, "schema:>=12"},
		`schema:20261129120000`:    {filter{SchemaFrom: 20261129120000, SchemaBefore: 20261129120001}, ""},
		`schema:3..12`:             {filter{SchemaFrom: 3, SchemaBefore: 13}, ""},
		`schema:0`:                 {filter{SchemaBefore: 1}, "schema:<1"},

		`sort:-created`:                      {filter{Sort: "-created"}, ""},
		`"status:active"`:                    {filter{Text: "status:active"}, ""},
		`"a  b"`:                             {filter{Text: "a  b"}, ""},
		`100% größe \x ' or 1=1 -- ; ) *`:    {filter{Text: `100% größe \x ' or 1=1 -- ; ) *`}, ""},
		`created:2026-01-05`:                 {filter{CreatedFrom: day(5), CreatedBefore: day(6)}, "created:2026-01-05..2026-01-05"},
		`created:>=2026-01-05`:               {filter{CreatedFrom: day(5)}, ""},
		`created:<2026-01-05`:                {filter{CreatedBefore: day(5)}, ""},
		`created:<=2026-01-05`:               {filter{CreatedBefore: day(6)}, "created:<2026-01-06"},
		`created:2026-01-05..2026-01-07`:     {filter{CreatedFrom: day(5), CreatedBefore: day(8)}, ""},
		`created:>2026-01-05t01:00:00+01:00`: {filter{CreatedFrom: day(5).Add(time.Microsecond)}, "created:>=2026-01-05T00:00:00.000001Z"},
		`health:bad,"very bad"`:              {filter{Terms: term("health", tenancy.FieldText, tenancy.OpIs, "bad", "very bad")}, ""},
		`health:a..b`:                        {filter{Terms: term("health", tenancy.FieldText, tenancy.OpIs, "a..b")}, ""},
		`requests:>=1.5e3`:                   {filter{Terms: term("requests", tenancy.FieldNumber, tenancy.OpAtLeast, "1.5e3")}, ""},
		`requests:-1..9`:                     {filter{Terms: term("requests", tenancy.FieldNumber, tenancy.OpBetween, "-1", "9")}, ""},
		`requests:1,2`:                       {filter{Terms: term("requests", tenancy.FieldNumber, tenancy.OpIs, "1", "2")}, ""},
		`seen:<2026-01-05`:                   {filter{Terms: term("seen", tenancy.FieldTime, tenancy.OpLess, "2026-01-05")}, ""},
	} {
		got, err := tenancy.ParseFilter(text, added...)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", text, err, diff)
		}
		want := tt.back
		if want == "" {
			want = text
		}
		if got := got.String(); got != want {
			t.Errorf("%s: got the text %s, want %s", text, got, want)
		}
	}
}

func TestFilterSaysWhatIsWrongWithTheSchema(t *testing.T) {
	t.Parallel()
	for want, filter := range map[string]tenancy.Filter{
		"invalid: schema below 0":                                {SchemaFrom: -1},
		"invalid: schema from 12 to before 12 is an empty range": {SchemaFrom: 12, SchemaBefore: 12},
	} {
		if err := filter.Validate(); !errors.Is(err, tenancy.ErrInvalid) || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		position int
		word     string
	}{
		`größe staus:active`:             {7, "staus:active"},
		`status:odd`:                     {1, "status:odd"},
		`a status:active,`:               {3, "status:active,"},
		`status:`:                        {1, "status:"},
		`status: active`:                 {1, "status:"},
		`status:,active`:                 {1, "status:,active"},
		`status:>active`:                 {1, "status:>active"},
		`status:active status:suspended`: {15, "status:suspended"},
		`plan:a,b`:                       {1, "plan:a,b"},
		`plan:" a"`:                      {1, `plan:"`},
		`tag:ä`:                          {1, "tag:ä"},
		`id:../x`:                        {1, "id:../x"},
		`sort:size`:                      {1, "sort:size"},
		`created:yesterday`:              {1, "created:yesterday"},
		`created:<0001-01-01`:            {1, "created:<0001-01-01"},
		`seen:<0001-01-01T00:00:00Z`:     {1, "seen:<0001-01-01T00:00:00Z"},
		`created:2026-13-01`:             {1, "created:2026-13-01"},
		`created:2026-01-02..2026-01-01`: {1, "created:2026-01-02..2026-01-01"},
		`created:2026-01-01..`:           {1, "created:2026-01-01.."},
		`created:..2026-01-01`:           {1, "created:..2026-01-01"},
		`created:2026-01-01,2026-01-02`:  {1, "created:2026-01-01,2026-01-02"},
		`schema:<0`:                      {1, "schema:<0"},
		`schema:-1`:                      {1, "schema:-1"},
		`schema:1.5`:                     {1, "schema:1.5"},
		`schema:1e3`:                     {1, "schema:1e3"},
		`schema:+1`:                      {1, "schema:+1"},
		`schema:1,2`:                     {1, "schema:1,2"},
		`schema:9..1`:                    {1, "schema:9..1"},
		`schema:9223372036854775808`:     {1, "schema:9223372036854775808"},
		`schema:>9223372036854775807`:    {1, "schema:>9223372036854775807"},
		`schema:new`:                     {1, "schema:new"},
		`created:>1000..2000`:            {1, "created:>1000..2000"},
		`requests:9..1`:                  {1, "requests:9..1"},
		`requests:many`:                  {1, "requests:many"},
		`requests:NaN`:                   {1, "requests:NaN"},
		`requests:0x10`:                  {1, "requests:0x10"},
		`requests:>1,2`:                  {1, "requests:>1,2"},
		`seen:<1`:                        {1, "seen:<1"},
		`x "open`:                        {3, `"open`},
		`""`:                             {1, `""`},
		`"a\b"`:                          {3, `\b"`},
		`"a\`:                            {3, `\`},
		`a"b`:                            {2, `"b`},
		`plan:a"b`:                       {7, `"b`},
		`plan:"a"b`:                      {1, `plan:"a"b`},
		"a\x00b":                         {2, "\x00b"},
		"a\nb":                           {2, "\nb"},
		"x \xff":                         {3, "\ufffd"},
		":x":                             {1, ":x"},
		strings.Repeat("a", 257):         {1, strings.Repeat("a", 80)},
		strings.Repeat("a ", 5<<10):      {4097, "a"},
	} {
		_, err := tenancy.ParseFilter(text, added...)
		var at *tenancy.FilterError
		if !errors.As(err, &at) || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%.80q: got %v, want a FilterError", text, err)
			continue
		}
		if at.Position != want.position || at.Word != want.word || at.Problem == "" {
			t.Errorf("%.80q: got %v, want %q at %d", text, err, want.word, want.position)
		}
	}
	for _, f := range [][]tenancy.Field{{{Name: "status"}}, {{Name: "x"}, {Name: "x"}}, {{Name: "A"}}, {{Name: ""}}, {{Name: "a:b"}}, {{Name: "x", Kind: 9}}} {
		if _, err := tenancy.ParseFilter("", f...); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("fields %v: got %v, want ErrInvalid", f, err)
		}
	}
}

func TestTermValues(t *testing.T) {
	t.Parallel()
	parse := func(text string) tenancy.Term {
		t.Helper()
		f, err := tenancy.ParseFilter(text, added...)
		if err != nil || len(f.Terms) != 1 {
			t.Fatalf("%s: got %v, %v", text, f.Terms, err)
		}
		return f.Terms[0]
	}
	if n := parse("requests:1.5..20"); n.Number(0) != 1.5 || n.Number(1) != 20 || n.Number(2) != 0 {
		t.Errorf("got %v and %v, want 1.5 and 20", n.Number(0), n.Number(1))
	}
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	for text, want := range map[string][2]time.Time{
		"seen:2026-01-05": {day(5), day(6)}, "seen:>2026-01-05": {day(6)}, "seen:>=2026-01-05": {day(5)},
		"seen:<2026-01-05": {{}, day(5)}, "seen:<=2026-01-05": {{}, day(6)}, "seen:2026-01-05..2026-01-06": {day(5), day(7)},
		"requests:1": {},
	} {
		term := parse(text)
		if from, before := term.Times(); !from.Equal(want[0]) || !before.Equal(want[1]) {
			t.Errorf("%s: got %v to %v, want %v", text, from, before, want)
		}
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	acme := &tenancy.Tenant{ID: "acme", Slug: "slug", Name: "Größe", CreatedAt: time.UnixMicro(1_790_000_000_000_007)}
	eu, us := tenancy.ByTags("eu"), tenancy.ByTags("us")
	base := tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}, Scope: &eu}
	for sort, key := range map[tenancy.Sort]string{"": "acme", "-id": "acme", "slug": "slug", "name": "Größe", "-created": "0001790000000000007", "updated": "0000000000000000000"} {
		f := base
		f.Sort = sort
		f.After = f.Next(acme)
		f.Limit = 7 // pages may differ
		got, id, err := f.Position()
		if err != nil || got != key || id != "acme" {
			t.Errorf("sort %q: got %q, %q, %v, want %q", sort, got, id, err, key)
		}
		if err := f.Validate(); err != nil {
			t.Errorf("sort %q: %v", sort, err)
		}
		for what, spoil := range map[string]func(*tenancy.Filter){
			"another order":  func(f *tenancy.Filter) { f.Sort = "-slug" },
			"another scope":  func(f *tenancy.Filter) { f.Scope = &us },
			"no scope":       func(f *tenancy.Filter) { f.Scope = nil },
			"another filter": func(f *tenancy.Filter) { f.Plan = "x" },
			"cut":            func(f *tenancy.Filter) { f.After = f.After[:len(f.After)-2] },
			"no base64":      func(f *tenancy.Filter) { f.After = "§" },
			"no JSON":        func(f *tenancy.Filter) { f.After = "AAAA" },
			"long":           func(f *tenancy.Filter) { f.After = tenancy.Cursor(strings.Repeat("A", 4000)) },
			"an ID":          func(f *tenancy.Filter) { f.After = "acme" },
		} {
			other := f
			spoil(&other)
			if err := other.Validate(); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("sort %q, %s: got %v, want ErrInvalid", sort, what, err)
			}
		}
	}
	// The parts of a cursor are checked, too: anybody can make one.
	f := tenancy.Filter{Sort: tenancy.SortCreated}
	for _, values := range [][]string{{"x", "acme"}, {"0001790000000000007", "A"}, {"0001790000000000007"}, {"\x00", "acme"}} {
		f.After = tenancy.NewCursor(f.String()+"\n", values...)
		if _, _, err := f.Position(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", values, err)
		}
	}
}

func TestFilterValidate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for what, f := range map[string]tenancy.Filter{
		"status": {Status: []tenancy.Status{"odd"}}, "tag": {Tags: []string{"A"}}, "ID": {IDs: []tenancy.ID{"A"}}, "plan": {Plan: "\xff"},
		"server": {Server: "a\x00"}, "text": {Text: "a\x00"}, "long text": {Text: strings.Repeat("a", 257)}, "sort": {Sort: "size"}, "only a hyphen": {Sort: "-"},
		"negative page": {Limit: -1}, "long page": {Limit: 1001}, "reversed": {CreatedFrom: now, CreatedBefore: now}, "many IDs": {IDs: make([]tenancy.ID, 1001)},
	} {
		if err := f.Validate(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
	if err := (&tenancy.Filter{Text: " a ", Sort: "-name", Limit: 1000}).Validate(); err != nil {
		t.Errorf("got %v", err)
	}
}

// Whatever the text is, there is an error with a position within it, or a filter
// whose text form is that filter again.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		"status:active,suspended plan:pro tag:eu created:>2026-01-01 acme", `plan:"a \"b\" \\" "x y" z`, "created:2026-01-05..2026-01-07T00:00:00Z",
		"requests:1..2 seen:<=2026-01-01 health:a,b sort:-name", "\x00", `"`, ":", `a"b`, "id:a,b server:x", "created:0001-01-01", "schema:<12", "schema:>9223372036854775807", "schema:0..9223372036854775807", "created:>9999-12-31", "created:9999-12-31T23:59:59.999999Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := tenancy.ParseFilter(text, added...)
		if err != nil {
			var at *tenancy.FilterError
			if !errors.As(err, &at) || at.Offset < 0 || at.Offset > len(text) || at.Position < 1 || at.Position > len(text)+1 {
				t.Errorf("%q: got %v (%+v)", text, err, at)
			}
			return
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%q: got a filter that is invalid: %v", text, err)
		}
		back := got.String()
		again, err := tenancy.ParseFilter(back, added...)
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%q: its text %q is another filter: %v, -want +got\n%s", text, back, err, diff)
		}
		if twice := again.String(); twice != back {
			t.Errorf("%q: got %q and then %q", text, back, twice)
		}
	})
}

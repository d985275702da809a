package lease

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// scripted runs the script on a clock and in a run of the server that the test
// sets.
type scripted struct {
	t      *testing.T
	client rueidis.Client
	key    string
	script *rueidis.Lua
	now    int64
	run    string
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	source := script
	for old, with := range map[string]string{
		"redis.call('TIME')":            "{ARGV[8], ARGV[9]}",
		"redis.pcall('INFO', 'server')": "ARGV[10]",
	} {
		if strings.Count(source, old) != 1 {
			t.Fatalf("the script has not one %s", old)
		}
		source = strings.Replace(source, old, with, 1)
	}
	client, ns := tenancytest.Redis(t)
	return &scripted{t: t, client: client, key: ns + ".book", script: rueidis.NewLuaScript(source), now: 1_800_000_000_000, run: "a1"}
}

func (s *scripted) lend(instance string, number uint64, ask dbpool.BorrowRequest) (granted, share int) {
	s.t.Helper()
	args := []string{
		instance, fmt.Sprint(number), strconv.Itoa(ask.Total), strconv.Itoa(ask.Keep), strconv.Itoa(ask.Want), "110", "86400000",
		fmt.Sprint(s.now / 1000), fmt.Sprint(s.now % 1000 * 1000), "# Server\r\nredis_version:7.0.15\r\nrun_id:" + s.run + "\r\ntcp_port:1\r\n",
	}
	got, err := s.script.Exec(s.t.Context(), s.client, []string{s.key}, args).AsIntSlice()
	if err != nil || len(got) != 2 {
		s.t.Fatalf("got %v, %v", got, err)
	}
	return int(got[0]), int(got[1])
}

func (s *scripted) set(text string) {
	s.t.Helper()
	if err := s.client.Do(s.t.Context(), s.client.B().Set().Key(s.key).Value(text).Build()).Error(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scripted) get() string {
	s.t.Helper()
	text, err := s.client.Do(s.t.Context(), s.client.B().Get().Key(s.key).Build()).ToString()
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *scripted) remove() {
	s.t.Helper()
	if err := s.client.Do(s.t.Context(), s.client.B().Del().Key(s.key).Build()).Error(); err != nil {
		s.t.Fatal(err)
	}
}

// text is the book as the script writes it.
func (b *book) text(run string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "tenancy.lease/1 %s %d %d %d\n", run, b.epoch, b.stamp, b.reported)
	for _, l := range b.loans {
		fmt.Fprintf(&out, "%s %d %d %d %d\n", l.instance, l.number, l.granted, l.want, l.ends)
	}
	return out.String()
}

// TestScriptDoesWhatBookDoes sends the same random asks to both.
func TestScriptDoesWhatBookDoes(t *testing.T) {
	t.Parallel()
	const asks = 6000
	rng := rand.New(rand.NewPCG(1, 2))
	s := newScripted(t)
	s.now -= 1000
	b := &book{epoch: s.now}
	number, refused := uint64(0), 0
	for i := range asks {
		switch p := rng.IntN(1000); {
		case p < 500:
			s.now += rng.Int64N(20)
		case p < 510:
			s.now += rng.Int64N(200)
		case p < 513:
			s.now -= rng.Int64N(200)
		case p < 516:
			s.run = fmt.Sprintf("b%d", i)
			b = &book{epoch: s.now}
		case p < 519:
			s.remove()
			b = &book{epoch: s.now}
		}
		most := 12
		if rng.IntN(10) == 0 {
			most = math.MaxInt32
		}
		ask := dbpool.BorrowRequest{Server: "main", Total: rng.IntN(most), Keep: rng.IntN(most), Want: rng.IntN(most)}
		if rng.IntN(3) == 0 {
			ask.Keep = 0
		}
		number++
		n := number
		if rng.IntN(10) == 0 {
			n -= min(n, rng.Uint64N(4))
		}
		instance := fmt.Sprint("R", rng.IntN(8))
		granted, share, ok := b.lend(s.now, instance, n, ask, 110)
		if !ok {
			granted, share = -1, -1
			refused++
		}
		gotGranted, gotShare := s.lend(instance, n, ask)
		if gotGranted != granted || gotShare != share {
			t.Fatalf("ask %d, %+v: got %d, %d, want %d, %d", i, ask, gotGranted, gotShare, granted, share)
		}
		if !ok { // the script has left those in the book that have ended
			continue
		}
		if diff := cmp.Diff(b.text(s.run), s.get()); diff != "" {
			t.Fatalf("ask %d, %+v: -want +got\n%s", i, ask, diff)
		}
	}
	if refused == 0 {
		t.Error("no ask came too late: this tests nothing")
	}
}

// TestScriptOnForeignKey: what is no book is a lost one.
func TestScriptOnForeignKey(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	ask := dbpool.BorrowRequest{Server: "main", Total: 10, Keep: 3, Want: 9}
	own := func(head, line string) string {
		return fmt.Sprintf("tenancy.lease/1 %s\n%s", head, line)
	}
	head, line := fmt.Sprintf("a1 %d %d 0", s.now-5000, s.now-1), fmt.Sprintf("OTHER 1 5 5 %d\n", s.now+50)
	s.set(own(head, line)) // a right one, to begin with
	if granted, _ := s.lend("R", 1, ask); granted != 5 {
		t.Fatalf("own book: got %d, want 5", granted)
	}
	for what, text := range map[string]string{
		"nothing":           "",
		"bytes":             "\x00\xff\xfe\r\n",
		"JSON":              `{"a": 1}`,
		"a number":          "42",
		"newlines":          "\n\n\n",
		"another form":      strings.Replace(own(head, line), "/1", "/2", 1),
		"another run":       own(strings.Replace(head, "a1", "a2", 1), line),
		"the future":        own(fmt.Sprintf("a1 %d %d 0", s.now-5000, s.now+1), line),
		"no beginning":      own(fmt.Sprintf("a1 %d %d 0", s.now, s.now-1), line),
		"not ended":         own(head, strings.TrimSpace(line)),
		"an empty line":     own(head, "\n"+line),
		"a negative number": own(head, strings.Replace(line, " 5", " -5", 1)),
		"a fraction":        own(head, strings.Replace(line, " 5", " 5.5", 1)),
		"a word too many":   own(head, strings.Replace(line, " 5", " 5 x", 1)),
		"never ends":        own(head, fmt.Sprintf("OTHER 1 5 5 %d\n", s.now+86400001)),
		"huge":              own(head, "OTHER 1 5 5 "+strings.Repeat("9", 400)+"\n"),
		"half":              own(head, line+line[:10]),
	} {
		s.set(text)
		if granted, share := s.lend("R", 1, ask); granted != 3 || share != 3 {
			t.Errorf("%s: got %d, %d, want what is kept, 3", what, granted, share)
		}
		want := fmt.Sprintf("tenancy.lease/1 a1 %d %d 3\nR 1 3 9 %d\n", s.now, s.now, s.now+110)
		if diff := cmp.Diff(want, s.get()); diff != "" {
			t.Errorf("%s: -want +got\n%s", what, diff)
		}
	}
	s.remove()
	if err := s.client.Do(t.Context(), s.client.B().Rpush().Key(s.key).Element("a", "b").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if granted, _ := s.lend("R", 1, ask); granted != 3 {
		t.Errorf("a list: got %d, want what is kept, 3", granted)
	}
	if ttl, err := s.client.Do(t.Context(), s.client.B().Pttl().Key(s.key).Build()).AsInt64(); err != nil || ttl < 86_000_000 || ttl > 86_400_000 {
		t.Errorf("got %d ms until the key expires, %v, want a day", ttl, err)
	}
}

func TestLaterAskCameBefore(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	r, err := NewRedis(client, ns, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := dbpool.BorrowRequest{Server: "main", Total: 10, Want: 1}
	for range 2 {
		if _, err := r.Borrow(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
	}
	r.number.Store(0)
	if _, err := r.Borrow(t.Context(), ask); !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("got %v, want %v", err, tenancy.ErrConflict)
	}
}

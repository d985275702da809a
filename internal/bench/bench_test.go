package bench_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/internal/bench"
)

func TestInterleave(t *testing.T) {
	t.Parallel()
	var got []string
	run := func(_ int, name string) error {
		got = append(got, name)
		if len(got) == 5 {
			return errors.New("no")
		}
		return nil
	}
	err := bench.Interleave(3, []string{"a", "b"}, run)
	if want := []string{"a", "b", "a", "b", "a"}; !slices.Equal(got, want) || err == nil || err.Error() != "a: no" {
		t.Errorf("got %v, %v, want %v and the error of the last", got, err, want)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		times []time.Duration
		p     int
		want  time.Duration
	}{{nil, 99, 0}, {[]time.Duration{7}, 50, 7}, {[]time.Duration{3, 1, 2}, 50, 2}, {hundred, 50, 50}, {hundred, 99, 99}} {
		if got := bench.Percentile(c.times, c.p); got != c.want {
			t.Errorf("percentile %d of %d times: got %d, want %d", c.p, len(c.times), got, c.want)
		}
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rounds, others []float64
		want           string
	}{
		{[]float64{30}, []float64{20}, "1.50x"},
		{[]float64{10, 40, 90}, []float64{10, 20, 30}, "2.00x (1.00 to 3.00)"}, // not that of the medians of unlike rounds
		{[]float64{30, 10}, []float64{10, 20}, "1.75x (0.50 to 3.00)"},
	} {
		if got := bench.Ratio(c.rounds, c.others); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for want, list := range map[string][]float64{"7": {7, 7}, "2 (1 to 9)": {9, 2, 1}} {
		if got := bench.Spread(list); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

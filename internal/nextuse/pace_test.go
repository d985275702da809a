package nextuse

import (
	"math"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	const visit = 10 * time.Millisecond
	every := func(p *pace, at, gap time.Duration, n int) time.Duration {
		for range n {
			at += gap
			p.add(at, visit)
		}
		return at
	}
	for _, tt := range []struct {
		name string
		uses func(p *pace) (now time.Duration)
		want time.Duration
	}{
		{"never", func(*pace) time.Duration { return time.Hour }, math.MaxInt64},
		{"once", func(p *pace) time.Duration { return every(p, 0, time.Second, 1) }, math.MaxInt64},
		{"a visit of many uses", func(p *pace) time.Duration { return every(p, 0, visit/20, 20) }, math.MaxInt64},
		{"twice", func(p *pace) time.Duration { return every(p, 0, time.Second, 2) }, time.Second},
		{"many uses without a break", func(p *pace) time.Duration { return every(p, 0, visit/2, 1000) }, visit},
		{"steady", func(p *pace) time.Duration { return every(p, 0, time.Second, 1000) }, time.Second},
		{"silent since", func(p *pace) time.Duration { return every(p, 0, time.Second, 1+memory) + memory*time.Second }, 2 * time.Second},
		{"faster than before", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Minute, 100), time.Second, 2*memory)
		}, time.Second},
		{"slower than before", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Second, 100), away*time.Second, 2*memory)
		}, away * time.Second},
		{"back from a night", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Second, 100)+8*time.Hour, time.Second, 1)
		}, time.Second},
	} {
		var p pace
		now := tt.uses(&p)
		if got := p.apart(now); (got - tt.want).Abs() > tt.want/20 {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

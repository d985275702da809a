package dbpool

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// timelines compares positions such as 2/17: place 17 on timeline 2.
type timelines struct{ driver.Replication }

func (timelines) Reached(at, want driver.Position) bool {
	a, x, _ := strings.Cut(string(at), "/")
	w, y, _ := strings.Cut(string(want), "/")
	n, _ := strconv.Atoi(x)
	m, _ := strconv.Atoi(y)
	return a == w && n >= m
}

// After a failover a replica of the new primary is known to be fresh at once,
// whatever the primary before was asked.
func TestLagAfterAFailover(t *testing.T) {
	t.Parallel()
	var h history
	began := time.Now()
	at := func(i int) time.Time { return began.Add(time.Duration(i) * time.Second) }
	for i := range 1000 {
		h.add(at(i), driver.Position(fmt.Sprintf("1/%d", i)))
	}
	for i := 1000; i < 1010; i++ {
		h.add(at(i), driver.Position(fmt.Sprintf("2/%d", i)))
	}
	for replica, want := range map[driver.Position]int{"2/1009": 1009, "2/1007": 1007, "2/1000": 1000, "1/999": 999, "1/5000": 999, "1/500": 500, "1/0": 0} {
		if got, ok := h.latest(timelines{}, replica); !ok || !got.Equal(at(want)) {
			t.Errorf("%s: got %v, %v, want second %d", replica, got.Sub(began), ok, want)
		}
	}
	for _, replica := range []driver.Position{"3/5000", "2/5"} {
		if _, ok := h.latest(timelines{}, replica); ok {
			t.Errorf("%s: got a time, want none", replica)
		}
	}
}

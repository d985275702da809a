package analytics

import (
	"math/rand/v2"
	"testing"
)

// A figure that falls is judged as one that rises.
func TestTheilSenIsSymmetric(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for n := minTrend; n < 40; n++ {
		x, y, mirrored := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = float64(i), random.NormFloat64()
			mirrored[i] = -y[i]
		}
		slope, low, high := theilSen(x, y)
		if s, l, h := theilSen(x, mirrored); s != -slope || l != -high || h != -low {
			t.Errorf("%d points: got %v, %v to %v, want %v, %v to %v", n, s, l, h, -slope, -high, -low)
		}
	}
	// Source: Sen 1968: of the 28 slopes of 8 points the bounds are those of ranks M1 = (28 - 15.8) / 2
	// and M2 + 1 = (28 + 15.8) / 2 + 1, which are 6 and 23 in whole ranks.
	x, y := []float64{0, 1, 2, 3, 4, 5, 6, 7}, make([]float64, 8)
	var slopes []float64
	for i := range y {
		y[i] = random.NormFloat64()
		for j := range i {
			slopes = append(slopes, (y[i]-y[j])/(x[i]-x[j]))
		}
	}
	_, low, high := theilSen(x, y)
	less, more := 0, 0
	for _, s := range slopes {
		if s < low {
			less++
		}
		if s > high {
			more++
		}
	}
	if less != 5 || more != 5 {
		t.Errorf("got %d slopes below and %d above, want 5 and 5", less, more)
	}
}

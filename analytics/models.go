package analytics

import (
	"math"
	"slices"
)

// model forecasts values that follow others.
type model struct {
	name    string
	predict func(values []float64, ahead int) []float64
}

// week is the length of a season, in days.
const week = 7

// models returns those that compete, the ones without seasons first.
func models() []model {
	return []model{{"linear", linear}, {"theil_sen", theilSenLine}, {"holt_winters", holtWinters}, {"seasonal", asLastWeek}}
}

func asYesterday(values []float64, ahead int) []float64 {
	out := make([]float64, ahead)
	for i := range out {
		out[i] = values[len(values)-1]
	}
	return out
}

func asLastWeek(values []float64, ahead int) []float64 {
	out := make([]float64, ahead)
	for i := range out {
		out[i] = values[len(values)-week+i%week]
	}
	return out
}

// line returns a line's values behind n values.
func line(n, ahead int, base, slope float64) []float64 {
	out := make([]float64, ahead)
	for i := range out {
		out[i] = base + slope*float64(n+i)
	}
	return out
}

// linear is the line of least squares.
func linear(values []float64, ahead int) []float64 {
	n := float64(len(values))
	var sx, sy, sxx, sxy float64
	for i, y := range values {
		x := float64(i)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return line(len(values), ahead, (sy-slope*sx)/n, slope)
}

// theilSenLine has the median of all slopes, and goes through the median of what is left.
func theilSenLine(values []float64, ahead int) []float64 {
	var slopes []float64
	for i := range values {
		for j := range i {
			slopes = append(slopes, (values[i]-values[j])/float64(i-j))
		}
	}
	slope := middle(slopes)
	rest := make([]float64, len(values))
	for i, y := range values {
		rest[i] = y - slope*float64(i)
	}
	return line(len(values), ahead, middle(rest), slope)
}

// middle returns the median of values, in any order, which it puts into another. It takes
// less time than sorting.
func middle(values []float64) float64 {
	half := len(values) / 2
	upper := nth(values, half)
	if len(values)%2 == 1 {
		return upper
	}
	return (slices.Max(values[:half]) + upper) / 2
}

// nth puts the value that sorting would put at k there, those that are not larger before
// it, and the others behind it.
// Source: Hoare 1961, Algorithm 65: Find.
func nth(values []float64, k int) float64 {
	for low, high := 0, len(values)-1; low < high; {
		pivot := values[low+(high-low)/2]
		i, j := low, high
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for values[j] > pivot {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return values[k]
		}
	}
	return values[k]
}

// holtWinters smooths level, trend and weekly season exponentially, with a trend that fades.
// Its constants are those of a small grid that fit the values best, one step ahead.
// Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section 8.3.
func holtWinters(values []float64, ahead int) []float64 {
	best, least := []float64(nil), math.Inf(1)
	for _, alpha := range []float64{0.1, 0.3, 0.6} {
		for _, beta := range []float64{0.02, 0.1, 0.3} {
			for _, gamma := range []float64{0.05, 0.2, 0.5} {
				if out, missed := smooth(values, ahead, alpha, beta, gamma); missed < least {
					best, least = out, missed
				}
			}
		}
	}
	return best
}

// smooth returns the forecast, and the sum of the squares by which it missed the values.
func smooth(values []float64, ahead int, alpha, beta, gamma float64) (out []float64, missed float64) {
	const damping = 0.97
	first, second := mean(values[:week]), mean(values[week:2*week])
	level, trend := first, (second-first)/week
	var season [week]float64
	for i := range season {
		season[i] = values[i] - first
	}
	for i, y := range values {
		s := season[i%week]
		miss := y - (level + damping*trend + s)
		if i >= week {
			missed += miss * miss
		}
		before := level
		level = alpha*(y-s) + (1-alpha)*(level+damping*trend)
		trend = beta*(level-before) + (1-beta)*damping*trend
		season[i%week] = gamma*(y-level) + (1-gamma)*s
	}
	out = make([]float64, ahead)
	fading := 0.0
	for i := range out {
		fading += math.Pow(damping, float64(i+1))
		out[i] = level + fading*trend + season[(len(values)+i)%week]
	}
	return out, missed
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

// misses are by how much forecasts missed, by how many days they were ahead, from 1 on.
type misses [][]float64

// backTest lets the model forecast each of the last days from each day before.
func backTest(m model, values []float64, tested int) misses {
	out := make(misses, tested)
	for from := len(values) - tested; from < len(values); from++ {
		for i, v := range m.predict(values[:from], len(values)-from) {
			out[i] = append(out[i], values[from+i]-v)
		}
	}
	return out
}

// mean returns the mean of the absolute misses.
func (m misses) mean() float64 {
	var all []float64
	for _, each := range m {
		for _, miss := range each {
			all = append(all, math.Abs(miss))
		}
	}
	return mean(all)
}

// band returns the miss that four of five forecasts do not exceed, of those that many days
// ahead: those of about as many days, never less than for fewer, and farther ahead than was
// tested wider with the root of the time.
func (m misses) band(ahead int) (wide float64) {
	for days := range min(ahead, len(m)) {
		var near []float64
		for _, each := range m[max(0, days-3):min(days+3, len(m))] {
			for _, miss := range each {
				near = append(near, math.Abs(miss))
			}
		}
		slices.Sort(near)
		wide = max(wide, near[int(math.Ceil(0.8*float64(len(near))))-1])
	}
	return wide * max(1, math.Sqrt(float64(ahead)/float64(len(m))))
}

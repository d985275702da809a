package analytics

import "math"

// model forecasts values that follow others.
type model struct {
	name string
	// fit returns a forecast from each number of values from first on: of the values before
	// that alone. The last is of all values.
	fit func(values []float64, first int) []forecaster
}

// forecaster returns the value of a day to come, from 0 on.
type forecaster func(ahead int) float64

// week is the length of a season, in days.
const week = 7

// models returns those that compete, the ones without seasons first.
func models() []model {
	return []model{{"linear", linear}, {"theil_sen", theilSenLine}, {"holt_winters", holtWinters}, {"seasonal", asLastWeek}}
}

func asYesterday(values []float64, first int) (all []forecaster) {
	for n := first; n <= len(values); n++ {
		all = append(all, func(int) float64 { return values[n-1] })
	}
	return all
}

func asLastWeek(values []float64, first int) (all []forecaster) {
	for n := first; n <= len(values); n++ {
		all = append(all, func(ahead int) float64 { return values[n-week+ahead%week] })
	}
	return all
}

// line continues a line behind n values.
func line(n int, base, slope float64) forecaster {
	return func(ahead int) float64 { return base + slope*float64(n+ahead) }
}

// linear is the line of least squares.
func linear(values []float64, first int) (all []forecaster) {
	var n, sx, sy, sxx, sxy float64
	for i, y := range values {
		x := float64(i)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
		if i+1 >= first {
			slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
			all = append(all, line(i+1, (sy-slope*sx)/n, slope))
		}
	}
	return all
}

// theilSenLine has the median of all slopes, and goes through the median of what is left.
func theilSenLine(values []float64, first int) (all []forecaster) {
	slopes := make([]float64, 0, len(values)*(len(values)-1)/2)
	rest := make([]float64, len(values))
	for i, y := range values {
		for j, before := range values[:i] {
			slopes = append(slopes, (y-before)/float64(i-j))
		}
		if i+1 < first {
			continue
		}
		slope := middle(slopes)
		for j, y := range values[:i+1] {
			rest[j] = y - slope*float64(j)
		}
		all = append(all, line(i+1, middle(rest[:i+1]), slope))
	}
	return all
}

// middle returns the median of values, in any order, which it puts into another. It takes
// less time than sorting.
func middle(values []float64) float64 {
	half := len(values) / 2
	upper := nth(values, half)
	if len(values)%2 == 1 {
		return upper
	}
	lower := values[0]
	for _, v := range values[:half] {
		if v > lower { // slices.Max also looks for NaN, and takes three times as long
			lower = v
		}
	}
	return (lower + upper) / 2
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
func holtWinters(values []float64, first int) []forecaster {
	best := make([]smoothed, len(values)-first+1)
	for i := range best {
		best[i].missed = math.Inf(1)
	}
	for _, alpha := range []float64{0.1, 0.3, 0.6} {
		for _, beta := range []float64{0.02, 0.1, 0.3} {
			for _, gamma := range []float64{0.05, 0.2, 0.5} {
				s := begin(values)
				for i, y := range values {
					s.add(y, alpha, beta, gamma)
					if i+1 >= first && s.missed < best[i+1-first].missed {
						best[i+1-first] = s
					}
				}
			}
		}
	}
	all := make([]forecaster, len(best))
	for i := range best {
		all[i] = best[i].at
	}
	return all
}

// damping is what remains of a trend after a day.
const damping = 0.97

// smoothed is what [holtWinters] knows after n values.
type smoothed struct {
	n            int
	level, trend float64
	season       [week]float64
	missed       float64 // the sum of the squares by which it missed the values, one step ahead
}

// begin takes the level, the trend and the season from the first two weeks.
func begin(values []float64) smoothed {
	first, second := mean(values[:week]), mean(values[week:2*week])
	s := smoothed{level: first, trend: (second - first) / week}
	for i := range s.season {
		s.season[i] = values[i] - first
	}
	return s
}

func (s *smoothed) add(y, alpha, beta, gamma float64) {
	season := s.season[s.n%week]
	if s.n >= week {
		miss := y - (s.level + damping*s.trend + season)
		s.missed += miss * miss
	}
	before := s.level
	s.level = alpha*(y-season) + (1-alpha)*(s.level+damping*s.trend)
	s.trend = beta*(s.level-before) + (1-beta)*damping*s.trend
	s.season[s.n%week] = gamma*(y-s.level) + (1-gamma)*season
	s.n++
}

func (s *smoothed) at(ahead int) float64 {
	fading := damping * (1 - math.Pow(damping, float64(ahead+1))) / (1 - damping) // of the days until then
	return s.level + fading*s.trend + s.season[(s.n+ahead)%week]
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

// misses are by how much forecasts missed, by how many days they were ahead, from 1 on.
type misses [][]float64

// backTest lets the model forecast each of the last days from each day before. It also
// returns the model's forecast of what comes after them.
func backTest(m model, values []float64, tested int) (misses, forecaster) {
	out := make(misses, tested)
	first := len(values) - tested
	all := m.fit(values, first)
	for i := range tested {
		for ahead := range tested - i {
			out[ahead] = append(out[ahead], math.Abs(values[first+i+ahead]-all[i](ahead)))
		}
	}
	return out, all[tested]
}

// mean returns the mean of all misses.
func (m misses) mean() float64 {
	var all []float64
	for _, each := range m {
		all = append(all, each...)
	}
	return mean(all)
}

// bands returns, by how many days a forecast is ahead, the miss that four of five do not
// exceed: of those about as many days ahead, and never less than for fewer.
func (m misses) bands() []float64 {
	out := make([]float64, len(m))
	widest := 0.0
	for days := range m {
		var near []float64
		for _, each := range m[max(0, days-3):min(days+3, len(m))] {
			near = append(near, each...)
		}
		widest = max(widest, nth(near, int(math.Ceil(0.8*float64(len(near))))-1))
		out[days] = widest
	}
	return out
}

//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// threads are the columns of the tables.
var threads = []int{1, 2}

// cell is what one run measured.
type cell struct {
	ns            float64 // from one answer to the next
	cpu           float64 // nanoseconds of this process's threads for an answer
	allocs, bytes float64 // of an answer
}

// worker asks for the names of a list, in turn.
type worker struct {
	list []string
	at   int
	bad  int // answers
	ask  func(w *worker, n int)
	// inTurn asks for a name only when the record before has been read.
	inTurn bool

	_ [64]byte // each worker writes lines of memory of its own
}

func (w *worker) next() string {
	s := w.list[w.at]
	if w.at++; w.at == len(w.list) {
		w.at = 0
	}
	return s
}

// got takes an answer.
func (w *worker) got(t *tenancy.Tenant) {
	if t == nil {
		w.bad++
	} else if w.inTurn {
		w.at += int(t.Version) - 1 // 0: the processor knows that when it has read the record
	}
}

// draw returns names, drawn at random, in memory of their own.
func draw(names []string) []string {
	rnd := rand.New(rand.NewPCG(uint64(len(names)), 1)) // not secret, not negative
	list := make([]string, max(4096, 2*len(names)))
	for i := range list {
		list[i] = strings.Clone(names[rnd.IntN(len(names))])
	}
	return list
}

// measure lets so many threads ask for names of the list, each beginning elsewhere.
// It looks at the clock after each batch.
func measure(length time.Duration, threads, batch int, list []string, ask func() func(w *worker, n int)) (cell, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	workers := make([]*worker, threads)
	for i := range workers {
		workers[i] = &worker{list: list, at: i * len(list) / threads, ask: ask()}
		workers[i].ask(workers[i], batch)
	}
	runtime.GC()
	done := make([]int, threads)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	began, cpu := time.Now(), cpuTime()
	for i, w := range workers {
		wg.Go(func() {
			for time.Since(began) < length {
				w.ask(w, batch)
				done[i] += batch
			}
		})
	}
	wg.Wait()
	took, cpu := time.Since(began), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	sum := 0
	for i, w := range workers {
		sum += done[i]
		if w.bad > 0 {
			return cell{}, fmt.Errorf("%d wrong answers", w.bad)
		}
	}
	n := float64(sum)
	return cell{float64(took) / n, float64(cpu) / n, float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n}, nil
}

// cpuTime is what this process has had of the processors. On a machine that others
// use too, it tells more than the time that has passed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// table has the cells of one size, by side and threads.
type table map[string][2][]cell

// fill measures all sides, round by round.
func (t table) fill(rounds int, sides []string, run func(side string, threads int) (cell, error)) error {
	return bench.Interleave(rounds, sides, func(_ int, side string) error {
		row := t[side]
		for i, n := range threads {
			c, err := run(side, n)
			if err != nil {
				return err
			}
			row[i] = append(row[i], c)
		}
		t[side] = row
		return nil
	})
}

func header(what, other string) {
	fmt.Printf("\n%-8s %-23s %9s %9s %9s %7s %7s  %-24s %-26s %s\n", "tenants", what, "ns, 1", "ns, 2", "CPU ns, 1", "allocs", "bytes", "scaling", other+", 1", other+", 2")
}

// print prints a row for each side, beside one of them.
func (t table) print(size int, sides []string, other string) {
	ns := func(c cell) float64 { return c.ns }
	for _, side := range sides {
		row, beside := t[side], t[other]
		fmt.Printf("%-8d %-23s %9s %9s %9s %7.1f %7.0f  %-24s", size, side, short(bench.Median(figures(row[0], ns))), short(bench.Median(figures(row[1], ns))),
			short(bench.Median(figures(row[0], func(c cell) float64 { return c.cpu }))),
			bench.Median(figures(row[0], func(c cell) float64 { return c.allocs })), bench.Median(figures(row[0], func(c cell) float64 { return c.bytes })),
			bench.Ratio(figures(row[0], ns), figures(row[1], ns)))
		if side != other {
			fmt.Printf(" %-26s %s", bench.Ratio(figures(row[0], ns), figures(beside[0], ns)), bench.Ratio(figures(row[1], ns), figures(beside[1], ns)))
		}
		fmt.Println()
	}
}

func figures(cells []cell, figure func(cell) float64) []float64 {
	list := make([]float64, len(cells))
	for i, c := range cells {
		list[i] = figure(c)
	}
	return list
}

// short prints a number of nanoseconds.
func short(ns float64) string {
	if ns < 100 {
		return fmt.Sprintf("%.1f", ns)
	}
	return fmt.Sprintf("%.0f", ns)
}

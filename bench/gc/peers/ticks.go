package main

// What the collector leaves of a goroutine's time: the same work as bench/gc/ticks.cc.

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"time"
)

const tick, gapFrom, nodesPerTick = 10 * time.Microsecond, 20 * time.Microsecond, 8

type node struct {
	next    *node
	number  uint64
	payload [6]uint64
}

type gap struct{ start, length time.Duration }

// One goroutine's work on its part of the table.
func run(table []*node, start time.Time, seconds float64) (gaps []gap) {
	runtime.LockOSThread()
	gaps = make([]gap, 0, 1<<16)
	random := splitMix(len(table))
	end := time.Duration(seconds * 1e9)
	last := time.Since(start)
	for nextWork := last; last < end; {
		if last >= nextWork {
			for i := 0; i < nodesPerTick; i++ {
				n := random.next() % uint64(len(table))
				table[n] = &node{number: table[n].number}
			}
			nextWork = last + tick
		}
		now := time.Since(start)
		if now-last > gapFrom {
			gaps = append(gaps, gap{last, now - last})
		}
		last = now
	}
	return gaps
}

func us(d time.Duration) float64 { return float64(d) / 1e3 }

func residentMiB() float64 {
	content, _ := os.ReadFile("/proc/self/statm")
	var size, resident float64
	fmt.Sscan(string(content), &size, &resident)
	return resident * 4096 / (1 << 20)
}

func main() {
	p := newProgram("ticks")
	nodes := p.next("live_mib", 100) * (1 << 20) / 72
	seconds := p.nextNumber("seconds", 5)
	threads := p.next("threads", 1)
	off := p.nextText("collector", "on") == "off"
	folder := p.nextText("folder", ".")
	table := make([]*node, nodes)
	for i := range table {
		table[i] = &node{number: uint64(i)}
	}
	runtime.GC()
	if off {
		debug.SetGCPercent(-1)
	}
	results := make([]chan []gap, threads)
	p.restartClock()
	start := time.Now()
	for t := range results {
		results[t] = make(chan []gap, 1)
		go func(t int) { results[t] <- run(table[nodes*t/threads:nodes*(t+1)/threads], start, seconds) }(t)
	}
	heap, err := os.Create(folder + "/heap.csv")
	p.check(err == nil, "cannot write into the folder")
	fmt.Fprintln(heap, "seconds,resident_mib")
	for time.Since(start).Seconds() < seconds {
		fmt.Fprintf(heap, "%g,%g\n", time.Since(start).Seconds(), residentMiB())
		time.Sleep(10 * time.Millisecond)
	}
	file, err := os.Create(folder + "/gaps.csv")
	p.check(err == nil, "cannot write into the folder")
	fmt.Fprintln(file, "thread,start_us,length_us")
	var lengths []float64
	lost := 0.0
	for t, result := range results {
		for _, g := range <-result {
			fmt.Fprintf(file, "%d,%g,%g\n", t, us(g.start), us(g.length))
			lengths = append(lengths, us(g.length))
			lost += us(g.length)
		}
	}
	for i, n := range table {
		p.check(n.number == uint64(i), "a node is damaged")
	}
	sort.Float64s(lengths)
	p.add("gaps", len(lengths))
	if len(lengths) > 0 {
		p.add("gap_p99_us", lengths[len(lengths)*99/100])
		p.add("gap_max_us", lengths[len(lengths)-1])
	}
	p.add("lost_percent", lost/(seconds*1e4*float64(threads)))
	p.print()
}

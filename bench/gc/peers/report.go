package main

// The line that bench/report.h prints, for the peers in Go.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type report struct {
	line  strings.Builder
	start time.Time
	cpu   float64
}

func newReport(name string) *report {
	r := &report{start: time.Now(), cpu: processorSeconds()}
	fmt.Fprintf(&r.line, "%s go", name)
	return r
}

func (r *report) add(key string, value interface{}) {
	fmt.Fprintf(&r.line, " %s=%v", key, value)
}

func (r *report) print() {
	wall, cpu := time.Since(r.start).Seconds(), processorSeconds()-r.cpu
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	longest := uint64(0)
	for _, pause := range stats.PauseNs { // of the last 256 cycles
		if pause > longest {
			longest = pause
		}
	}
	r.add("cycles", stats.NumGC)
	r.add("stop_max_us", float64(longest)/1000)
	r.add("wall_s", wall)
	r.add("cpu_s", cpu)
	r.add("rss_mib", peakMemoryMiB())
	fmt.Println(r.line.String())
}

const rusageThread = 1 // missing from package syscall

func processorSeconds() float64 { return processorSecondsOf(syscall.RUSAGE_SELF) }

func processorSecondsOf(who int) float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		panic(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + 1e-6*float64(t.Usec) }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func peakMemoryMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}

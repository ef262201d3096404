package main

// The line that bench/report.h prints, for the peers in Go.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type report struct {
	line  strings.Builder
	start time.Time
	cpu   float64
}

func newReport(name string) *report {
	r := &report{start: time.Now(), cpu: processorSeconds(processClock)}
	fmt.Fprintf(&r.line, "%s go", name)
	return r
}

func (r *report) restartClock() { r.start, r.cpu = time.Now(), processorSeconds(processClock) }

func (r *report) add(key string, value interface{}) {
	fmt.Fprintf(&r.line, " %s=%v", key, value)
}

func (r *report) print() {
	wall, cpu := time.Since(r.start).Seconds(), processorSeconds(processClock)-r.cpu
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

// Clocks of clock_gettime, missing from package syscall.
const (
	processClock = 2 // CLOCK_PROCESS_CPUTIME_ID
	threadClock  = 3 // CLOCK_THREAD_CPUTIME_ID
)

// User and system time.
func processorSeconds(clock uintptr) float64 {
	var time syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&time)), 0); err != 0 {
		panic(err)
	}
	return float64(time.Sec) + 1e-9*float64(time.Nsec)
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

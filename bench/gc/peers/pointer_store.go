package main

// Pointer stores in Go: the same work as bench/gc/pointer_store.cc. go build pointer_store.go report.go
//
//	pointer_store_go [random | sequential] [MiB = 1] [idle | marking] [millions = 50]

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"
	"unsafe"
)

type object struct {
	target  *object // overwritten all the time
	number  uint64
	payload [6]uint64
}

const targets = 64

// The objects in the order of the stores.
func makeObjects(objects int, random bool) []*object {
	table := make([]*object, objects, objects+targets)
	for i := range table {
		table[i] = &object{number: uint64(i)}
	}
	address := func(i int) uintptr { return uintptr(unsafe.Pointer(table[i])) }
	sort.Slice(table, func(i, j int) bool { return address(i) < address(j) })
	if random {
		rand.New(rand.NewSource(1)).Shuffle(objects, func(i, j int) { table[i], table[j] = table[j], table[i] })
	}
	return append(table, table[:targets]...)
}

func storeOnceIntoEach(table []*object, objects, distance int) {
	values := table[distance : distance+objects]
	for i, o := range table[:objects] {
		o.target = values[i]
	}
}

// Nanoseconds a store, by the clock and of the storing thread's processor time.
func measure(table []*object, objects, stores int) (wall, ownCPU float64) {
	runtime.LockOSThread()
	passes := stores / objects
	if passes < 1 {
		passes = 1
	}
	nsPerStore := 1e9 / float64(passes*objects)
	start, cpu := time.Now(), processorSeconds(threadClock)
	for pass := 0; pass < passes; pass++ {
		storeOnceIntoEach(table, objects, 1+pass%targets)
	}
	return time.Since(start).Seconds() * nsPerStore, (processorSeconds(threadClock) - cpu) * nsPerStore
}

func argument(i int, otherwise string) string {
	if len(os.Args) <= i {
		return otherwise
	}
	return os.Args[i]
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func main() {
	order, mib, mode := argument(1, "random"), number(argument(2, "1")), argument(3, "idle")
	stores := number(argument(4, "50")) * 1000000
	objects := mib << 20 / 64
	table := makeObjects(objects, order == "random")
	runtime.GC()
	storeOnceIntoEach(table, objects, 1) // warm up

	r := newReport("pointer_store")
	if mode == "marking" {
		go func() {
			for {
				runtime.GC()
			}
		}()
	}
	wall, ownCPU := measure(table, objects, stores)
	runtime.KeepAlive(table)
	r.add("order", order)
	r.add("mib", mib)
	r.add("mode", mode)
	r.add("ns", wall)
	r.add("own_cpu_ns", ownCPU)
	r.print()
}

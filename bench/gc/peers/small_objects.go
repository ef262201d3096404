package main

// Small objects that die at once, in Go: the same work as bench/gc/small_objects.cc. go build small_objects.go report.go
//
//	small_objects_go [bytes = 32] [linked | plain] [millions = 50] [threads = 1]

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

type linked16 struct {
	next   *linked16
	number uint64
}
type linked32 struct {
	next    *linked32
	number  uint64
	payload [2]uint64
}
type linked64 struct {
	next    *linked64
	number  uint64
	payload [6]uint64
}
type linked256 struct {
	next    *linked256
	number  uint64
	payload [30]uint64
}

// A store to a global makes the object escape to the heap.
var (
	sink16  *linked16
	sink32  *linked32
	sink64  *linked64
	sink256 *linked256

	plainSink16  *[2]uint64
	plainSink32  *[4]uint64
	plainSink64  *[8]uint64
	plainSink256 *[32]uint64
)

func makeLinked(bytes int, objects uint64) {
	switch bytes {
	case 16:
		for i := uint64(0); i < objects; i++ {
			sink16 = &linked16{number: i}
		}
	case 32:
		for i := uint64(0); i < objects; i++ {
			sink32 = &linked32{number: i}
		}
	case 64:
		for i := uint64(0); i < objects; i++ {
			sink64 = &linked64{number: i}
		}
	case 256:
		for i := uint64(0); i < objects; i++ {
			sink256 = &linked256{number: i}
		}
	}
}

func makePlain(bytes int, objects uint64) {
	switch bytes {
	case 16:
		for i := uint64(0); i < objects; i++ {
			plainSink16 = new([2]uint64)
		}
	case 32:
		for i := uint64(0); i < objects; i++ {
			plainSink32 = new([4]uint64)
		}
	case 64:
		for i := uint64(0); i < objects; i++ {
			plainSink64 = new([8]uint64)
		}
	case 256:
		for i := uint64(0); i < objects; i++ {
			plainSink256 = new([32]uint64)
		}
	}
}

func makeAll(bytes int, kind string, objects uint64) {
	if kind == "linked" {
		makeLinked(bytes, objects)
	} else {
		makePlain(bytes, objects)
	}
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
	bytes, kind := number(argument(1, "32")), argument(2, "linked")
	objects := uint64(number(argument(3, "50"))) * 1000000
	makeAll(bytes, kind, objects/10) // warm up
	r := newReport("small_objects")
	threads := number(argument(4, "1"))
	start := time.Now()
	var others sync.WaitGroup
	for t := 0; t < threads; t++ {
		others.Add(1)
		go func() {
			defer others.Done()
			makeAll(bytes, kind, objects)
		}()
	}
	others.Wait()
	seconds := time.Since(start).Seconds()
	r.add("bytes", bytes)
	r.add("kind", kind)
	r.add("threads", threads)
	r.add("ns", seconds*1e9/float64(objects))
	r.print()
}

package main

// Finalizer storm in Go: the same work as bench/gc/finalizers.cc, with runtime.SetFinalizer.

import (
	"runtime"
	"sync/atomic"
	"time"
)

const ringLength, tries, stale = 100000, 1000, 100

type resource struct {
	number  uint64
	payload [3]uint64
}

var destroyed int64

func makeAll(objects int) {
	ring := make([]*resource, ringLength)
	for i := 0; i < objects; i++ {
		fresh := &resource{number: uint64(i)}
		runtime.SetFinalizer(fresh, func(*resource) { atomic.AddInt64(&destroyed, 1) })
		if i%10 == 0 {
			ring[i/10%ringLength] = fresh
		}
	}
	runtime.KeepAlive(ring)
}

func main() {
	p := newProgram("finalizers")
	objects := p.next("thousands", 3000) * 1000
	makeAll(objects)
	p.add("destroyed_at_end", atomic.LoadInt64(&destroyed))
	for i := 0; i < tries && atomic.LoadInt64(&destroyed)+stale < int64(objects); i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	done := int(atomic.LoadInt64(&destroyed))
	p.check(done <= objects && done+stale >= objects, "finalizers did not run, or ran twice")
	p.print()
}

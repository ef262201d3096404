package main

// Latency of requests beside a large cache, in Go: the same work as bench/gc/cache_latency.cc. go build cache_latency.go report.go
//
//	cache_latency_go [million entries = 1] [seconds = 10] [full collections = 0] [file]

import (
	"fmt"
	"math"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	requestInterval      = 200 * time.Microsecond
	batchInterval        = time.Millisecond
	replacementsPerBatch = 200
	lookupsPerRequest    = 20
	lockCount            = 1024
)

type entry struct {
	payload *[20]uint64
	key     uint64
	uses    [4]uint64
}

type item struct {
	next  *item
	value uint64
}

type cache struct {
	table []*entry
	locks [lockCount]sync.Mutex
}

func makeEntry(key uint64) *entry {
	payload := new([20]uint64)
	for i := range payload {
		payload[i] = key
	}
	return &entry{payload: payload, key: key}
}

func makeCache(entries int) *cache {
	c := &cache{table: make([]*entry, entries)}
	for key := range c.table {
		c.table[key] = makeEntry(uint64(key))
	}
	return c
}

func (c *cache) lookUp(key uint64) uint64 {
	lock := &c.locks[key%lockCount]
	lock.Lock()
	e := c.table[key]
	e.uses[0]++
	value := e.payload[key%20]
	lock.Unlock()
	if value != key || e.key != key {
		panic("cache_latency: an entry is damaged")
	}
	return value
}

func (c *cache) replace(key uint64) {
	e := makeEntry(key)
	lock := &c.locks[key%lockCount]
	lock.Lock()
	c.table[key] = e
	lock.Unlock()
}

func (c *cache) replaceUntil(stop *int32) (replaced int) {
	random := rand.New(rand.NewSource(1))
	for next := time.Now(); atomic.LoadInt32(stop) == 0; next = next.Add(batchInterval) {
		for i := 0; i < replacementsPerBatch; i++ {
			c.replace(random.Uint64() % uint64(len(c.table)))
		}
		replaced += replacementsPerBatch
		time.Sleep(time.Until(next.Add(batchInterval)))
	}
	return replaced
}

var sink *item // makes the answers escape to the heap

func (c *cache) serve(random *rand.Rand) {
	var answer *item
	for i := 0; i < lookupsPerRequest; i++ {
		answer = &item{answer, c.lookUp(random.Uint64() % uint64(len(c.table)))}
	}
	sink = answer
}

func (c *cache) serveFor(seconds float64) (fromSchedule, service, own []float64) {
	runtime.LockOSThread()
	random := rand.New(rand.NewSource(2))
	requests := int(seconds * float64(time.Second) / float64(requestInterval))
	fromSchedule, service, own = make([]float64, 0, requests), make([]float64, 0, requests), make([]float64, 0, requests)
	us := func(d time.Duration) float64 { return float64(d) / 1000 }
	scheduled := time.Now()
	for i := 0; i < requests; i++ {
		takenUp := time.Now()
		for takenUp.Before(scheduled) {
			takenUp = time.Now()
		}
		ownBefore := processorSeconds(threadClock)
		c.serve(random)
		own = append(own, (processorSeconds(threadClock)-ownBefore)*1e6)
		done := time.Now()
		fromSchedule = append(fromSchedule, us(done.Sub(scheduled)))
		service = append(service, us(done.Sub(takenUp)))
		scheduled = scheduled.Add(requestInterval)
	}
	return fromSchedule, service, own
}

func collectEvenly(seconds float64, collections int) {
	for i := 0; i < collections; i++ {
		wait := seconds / float64(collections)
		if i == 0 {
			wait /= 2
		}
		time.Sleep(time.Duration(wait * 1e9))
		runtime.GC()
	}
}

func addQuantiles(r *report, name string, values []float64) {
	sort.Float64s(values)
	at := func(q float64) float64 { return values[int(q*float64(len(values)-1))] }
	r.add(name+"_p50_us", at(.5))
	r.add(name+"_p99_us", at(.99))
	r.add(name+"_p999_us", at(.999))
	r.add(name+"_max_us", at(1))
}

// From the median to the longest; values are sorted.
func writeQuantiles(path string, values []float64) {
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintln(file, "one_in,us")
	for oneIn := 2.0; oneIn <= float64(len(values)); oneIn *= math.Pow(10, .1) {
		fmt.Fprintf(file, "%g,%g\n", oneIn, values[int((1-1/oneIn)*float64(len(values)))])
	}
}

func argument(i int, otherwise string) float64 {
	if len(os.Args) > i {
		otherwise = os.Args[i]
	}
	value, err := strconv.ParseFloat(otherwise, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func main() {
	millions, seconds := argument(1, "1"), argument(2, "10")
	r := newReport("cache_latency")
	c := makeCache(int(millions * 1e6))
	go collectEvenly(seconds, int(argument(3, "0")))
	var stop int32
	replaced := make(chan int)
	go func() { replaced <- c.replaceUntil(&stop) }()
	fromSchedule, service, own := c.serveFor(seconds)
	atomic.StoreInt32(&stop, 1)
	r.add("millions", millions)
	r.add("replaced_per_s", float64(<-replaced)/seconds)
	addQuantiles(r, "latency", fromSchedule)
	addQuantiles(r, "service", service)
	addQuantiles(r, "own", own)
	if len(os.Args) > 4 {
		writeQuantiles(os.Args[4], fromSchedule)
	}
	r.print()
}

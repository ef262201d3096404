package main

// Allocation storm in Go: the same work as bench/gc/storm.cc.

const ringLength, mostBytes = 20000, 1024

type node struct {
	payload []byte
	number  int
}

func bytesOf(dice uint64) uint64 { return 16 + (dice&0xff)*(dice>>8&0xff)*(mostBytes-16)/(255*255) }

func allocate(seed uint64, objects int) bool {
	ring := make([]*node, ringLength)
	random := splitMix(seed)
	right := true
	for i := 0; i < objects; i++ {
		bytes := bytesOf(random.next())
		n := &node{make([]byte, bytes), i}
		n.payload[bytes-1] = byte(i)
		if i%16 != 0 {
			continue
		}
		slot := &ring[i/16%ringLength]
		if *slot != nil {
			right = right && (*slot).number == i-16*ringLength && (*slot).payload[0] == 0
		}
		*slot = n
	}
	return right
}

func main() {
	p := newProgram("storm")
	threads, objects := p.next("threads", 4), p.next("millions", 40)*1000000
	done := make(chan bool)
	for t := 0; t < threads; t++ {
		go func(t int) { done <- allocate(uint64(t), objects/threads) }(t)
	}
	for t := 0; t < threads; t++ {
		p.check(<-done, "a ring is damaged")
	}
	p.print()
}

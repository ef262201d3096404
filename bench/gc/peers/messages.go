package main

// Messages through a chain of goroutines: the same work as bench/gc/messages.cc, with Go's channels as queues.

const partsAtFirst = 8

type part struct {
	next  *part
	value uint64
	text  [4]uint64
}

type message struct {
	parts  *part
	number uint64
}

func (m *message) add(value uint64) { m.parts = &part{next: m.parts, value: value} }

func makeMessage(number uint64) *message {
	m := &message{number: number}
	for i := uint64(0); i < partsAtFirst; i++ {
		m.add(number + i)
	}
	return m
}

func (m *message) sum() (sum uint64) {
	for p := m.parts; p != nil; p = p.next {
		sum += p.value
	}
	return sum
}

func main() {
	p := newProgram("messages")
	threads, messages := uint64(p.next("threads", 3)), uint64(p.next("thousands", 2000))*1000
	queues := make([]chan *message, threads)
	for i := range queues {
		queues[i] = make(chan *message, 1024)
	}
	for t := uint64(1); t+1 < threads; t++ {
		go func(t uint64) {
			for i := uint64(0); i < messages; i++ {
				m := <-queues[t]
				m.add(t)
				queues[t+1] <- m
			}
		}(t)
	}
	sum := make(chan uint64)
	go func() {
		s := uint64(0)
		for i := uint64(0); i < messages; i++ {
			s += (<-queues[threads-1]).sum()
		}
		sum <- s
	}()
	for i := uint64(0); i < messages; i++ {
		queues[1] <- makeMessage(i)
	}
	expected := messages*((threads-2)*(threads-1)/2+partsAtFirst*(partsAtFirst-1)/2) + partsAtFirst*(messages*(messages-1)/2)
	p.check(<-sum == expected, "parts of messages were lost")
	p.print()
}

package main

// GCBench in Go: the same work as bench/gc/gcbench.cc.

type node struct {
	left, right *node
	numbers     [2]int32
}

func sizeOfTree(depth int) int { return 2<<depth - 1 }

func (n *node) populate(depth int) {
	if depth == 0 {
		return
	}
	n.left, n.right = &node{}, &node{}
	n.left.populate(depth - 1)
	n.right.populate(depth - 1)
}

func topDown(depth int) *node {
	root := &node{}
	root.populate(depth)
	return root
}

func bottomUp(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	left, right := bottomUp(depth-1), bottomUp(depth-1)
	return &node{left: left, right: right}
}

func (n *node) count() int {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

var sink *node // makes trees escape to the heap

func main() {
	p := newProgram("gcbench")
	depth := p.next("depth", 18)
	sink = bottomUp(depth + 2)
	sink = nil
	longLived := topDown(depth)
	numbers := make([]float64, 8<<depth)
	for i := 1; i < len(numbers)/2; i++ {
		numbers[i] = 1 / float64(i)
	}
	for d := 4; d <= depth; d += 2 {
		trees := 2 * sizeOfTree(depth+2) / sizeOfTree(d)
		for i := 0; i < trees; i++ {
			sink = topDown(d)
		}
		for i := 0; i < trees; i++ {
			sink = bottomUp(d)
		}
	}
	p.check(longLived.count() == sizeOfTree(depth), "the long-lived tree lost nodes")
	p.check(numbers[16] == 1.0/16, "the long-lived array is damaged")
	p.print()
}

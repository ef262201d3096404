package main

// Graph mutation in Go: the same work as bench/gc/graph.cc.

type attribute struct {
	next  *attribute
	value uint64
}

type node struct {
	edges      [4]*node
	attributes *attribute
	number     uint64
}

func (n *node) replaceAttributes() {
	var list *attribute
	for i := 0; i < 6; i++ {
		list = &attribute{list, n.number}
	}
	n.attributes = list
}

func main() {
	p := newProgram("graph")
	nodes, steps := uint64(p.next("nodes", 1000000)), p.next("millions", 20)*1000000
	table := make([]*node, nodes)
	for i := range table {
		table[i] = &node{number: uint64(i)}
		table[i].replaceAttributes()
	}
	random := splitMix(1)
	for i := 0; i < steps; i++ {
		dice := random.next()
		n := table[(dice>>32)%nodes]
		n.edges[dice%4] = table[(dice>>8)%nodes]
		if i%8 == 0 {
			n.replaceAttributes()
		}
	}
	sum := uint64(0)
	for i, n := range table {
		for _, edge := range n.edges {
			if edge != nil {
				sum += edge.number
			}
		}
		p.check(n.attributes.value == uint64(i) && n.attributes.next.value == uint64(i), "an attribute is damaged")
	}
	p.add("sum", sum)
	p.print()
}

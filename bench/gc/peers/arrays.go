package main

// Large arrays of pointers in Go: the same work as bench/gc/arrays.cc.

const cells, stepsPerCopy = 100000, 20000

type object struct {
	number  uint64
	payload [3]uint64
}

type shelf struct{ cells []*object }

func main() {
	p := newProgram("arrays")
	shelves, steps := p.next("shelves", 20), p.next("millions", 10)*1000000
	table := make([]*shelf, shelves)
	for s := range table {
		table[s] = &shelf{make([]*object, cells)}
		for i := range table[s].cells {
			table[s].cells[i] = &object{number: uint64(i)}
		}
	}
	random := splitMix(1)
	for step := 0; step < steps; step++ {
		dice := random.next()
		cell, which := (dice>>32)%cells, dice%uint64(shelves)
		table[which].cells[cell] = &object{number: cell}
		if step%stepsPerCopy == 0 {
			fresh := &shelf{make([]*object, cells)}
			copy(fresh.cells, table[which].cells)
			table[which] = fresh
		}
	}
	for _, s := range table {
		for i, o := range s.cells {
			p.check(o.number == uint64(i), "a cell is damaged")
		}
	}
	p.print()
}

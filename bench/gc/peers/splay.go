package main

// Splay tree in Go: the same work as bench/gc/splay.cc.

type payload struct {
	left, right *payload
	numbers     [4]uint64
}

type node struct {
	left, right *node
	payload     *payload
	key         uint64
}

func makePayload(depth int, key uint64) *payload {
	p := &payload{numbers: [4]uint64{key, key}}
	if depth > 0 {
		p.left, p.right = makePayload(depth-1, key), makePayload(depth-1, key)
	}
	return p
}

type tree struct {
	root *node
	size int
}

func (t *tree) splay(key uint64) {
	if t.root == nil {
		return
	}
	header := &node{}
	left, right, current := header, header, t.root
loop:
	for {
		switch {
		case key < current.key:
			if current.left == nil {
				break loop
			}
			if key < current.left.key {
				child := current.left
				current.left, child.right = child.right, current
				current = child
				if current.left == nil {
					break loop
				}
			}
			right.left = current
			right, current = current, current.left
		case key > current.key:
			if current.right == nil {
				break loop
			}
			if key > current.right.key {
				child := current.right
				current.right, child.left = child.left, current
				current = child
				if current.right == nil {
					break loop
				}
			}
			left.right = current
			left, current = current, current.right
		default:
			break loop
		}
	}
	left.right, right.left = current.left, current.right
	current.left, current.right = header.right, header.left
	t.root = current
}

func (t *tree) insert(key uint64) bool {
	t.splay(key)
	if t.root != nil && t.root.key == key {
		return false
	}
	n := &node{key: key, payload: makePayload(4, key)}
	if t.root != nil {
		if key > t.root.key {
			n.right, n.left, t.root.right = t.root.right, t.root, nil
		} else {
			n.left, n.right, t.root.left = t.root.left, t.root, nil
		}
	}
	t.root = n
	t.size++
	return true
}

func (t *tree) removeNear(key uint64) {
	t.splay(key)
	removed := t.root
	if removed.left == nil {
		t.root = removed.right
	} else {
		t.root = removed.left
		t.splay(removed.key)
		t.root.right = removed.right
	}
	t.size--
}

func (n *node) count() int {
	if n == nil || n.payload.numbers[1] != n.key {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func main() {
	p := newProgram("splay")
	nodes, steps := p.next("nodes", 40000), p.next("steps", 400000)
	random := splitMix(1)
	t := &tree{}
	for t.size < nodes {
		t.insert(random.next())
	}
	for i := 0; i < steps; i++ {
		for !t.insert(random.next()) {
		}
		t.removeNear(random.next())
	}
	p.check(t.root.count() == nodes, "the tree lost nodes")
	p.print()
}

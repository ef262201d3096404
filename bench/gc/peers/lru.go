package main

// A least-recently-used cache in Go: the same work as bench/gc/lru.cc.

type entry struct {
	chain, newer, older *entry
	value               []byte
	key                 uint64
}

type cache struct {
	buckets        []*entry
	newest, oldest *entry
	size           int
	damaged        bool
}

func (c *cache) bucket(key uint64) **entry { return &c.buckets[key%uint64(len(c.buckets))] }

func (c *cache) lookUp(key uint64) bool {
	for e := *c.bucket(key); e != nil; e = e.chain {
		if e.key == key {
			c.damaged = c.damaged || e.value[0] != byte(key)
			if e != c.newest {
				c.unlink(e)
				c.pushFront(e)
			}
			return true
		}
	}
	c.insert(key)
	return false
}

func (c *cache) insert(key uint64) {
	if c.size == len(c.buckets) {
		c.evictOldest()
	}
	e := &entry{key: key, value: make([]byte, 16+key*0x9e3779b97f4a7c15%496)}
	e.value[0] = byte(key)
	e.chain = *c.bucket(key)
	*c.bucket(key) = e
	c.pushFront(e)
	c.size++
}

func (c *cache) pushFront(e *entry) {
	e.older = c.newest
	if c.newest != nil {
		c.newest.newer = e
	}
	if c.oldest == nil {
		c.oldest = e
	}
	c.newest = e
}

func (c *cache) unlink(e *entry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.newest = e.older
	}
	e.newer, e.older = nil, nil
}

func (c *cache) evictOldest() {
	victim := c.oldest
	c.unlink(victim)
	link := c.bucket(victim.key)
	for *link != victim {
		link = &(*link).chain
	}
	*link = victim.chain
	c.size--
}

func main() {
	p := newProgram("lru")
	entries, steps := p.next("entries", 300000), p.next("millions", 8)*1000000
	c := &cache{buckets: make([]*entry, entries)}
	random := splitMix(1)
	hits := 0
	for i := 0; i < steps; i++ {
		uniform := float64(random.next()>>11) * 0x1p-53
		if c.lookUp(uint64(uniform * uniform * uniform * float64(entries*8))) {
			hits++
		}
	}
	p.check(!c.damaged, "a value is damaged")
	if steps > 0 {
		p.add("hit_percent", float64(hits*100)/float64(steps))
	}
	p.print()
}

/** A least-recently-used cache: the same work as bench/gc/lru.cc. */
final class Lru {
  static final class Entry {
    Entry chain, newer, older;
    final byte[] value;
    final long key;

    Entry(long key) {
      this.key = key;
      value = new byte[(int) (16 + Long.remainderUnsigned(key * 0x9e3779b97f4a7c15L, 496))];
      value[0] = (byte) key;
    }
  }

  final Entry[] buckets;
  Entry newest, oldest;
  int size;
  boolean damaged;

  Lru(int capacity) { buckets = new Entry[capacity]; }

  boolean lookUp(long key) {
    for (Entry e = buckets[(int) (key % buckets.length)]; e != null; e = e.chain) {
      if (e.key != key) continue;
      damaged |= e.value[0] != (byte) key;
      if (e != newest) {
        unlink(e);
        pushFront(e);
      }
      return true;
    }
    insert(key);
    return false;
  }

  void insert(long key) {
    if (size == buckets.length) evictOldest();
    Entry e = new Entry(key);
    int bucket = (int) (key % buckets.length);
    e.chain = buckets[bucket];
    buckets[bucket] = e;
    pushFront(e);
    ++size;
  }

  void pushFront(Entry e) {
    e.older = newest;
    if (newest != null) newest.newer = e;
    if (oldest == null) oldest = e;
    newest = e;
  }

  void unlink(Entry e) {
    if (e.older != null) e.older.newer = e.newer;
    else oldest = e.newer;
    if (e.newer != null) e.newer.older = e.older;
    else newest = e.older;
    e.newer = e.older = null;
  }

  void evictOldest() {
    Entry victim = oldest;
    unlink(victim);
    int bucket = (int) (victim.key % buckets.length);
    if (buckets[bucket] == victim) {
      buckets[bucket] = victim.chain;
    } else {
      Entry before = buckets[bucket];
      while (before.chain != victim) before = before.chain;
      before.chain = victim.chain;
    }
    --size;
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("lru", arguments);
    int entries = program.next("entries", 300000), steps = program.next("millions", 8) * 1000000;
    Lru cache = new Lru(entries);
    Program.Random random = new Program.Random(1);
    long hits = 0;
    for (int i = 0; i < steps; ++i) {
      double uniform = (random.next() >>> 11) * 0x1p-53;
      if (cache.lookUp((long) (uniform * uniform * uniform * (entries * 8L)))) ++hits;
    }
    program.check(!cache.damaged, "a value is damaged");
    program.add("hit_percent", steps == 0 ? 0 : hits * 100.0 / steps);
    program.end();
  }
}

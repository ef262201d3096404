import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/** Latency of requests beside a large cache: the same work as bench/gc/cache_latency.cc. */
final class CacheLatency {
  static final long REQUEST_NS = 200_000, BATCH_NS = 1_000_000;
  static final int REPLACEMENTS_PER_BATCH = 200, LOOKUPS_PER_REQUEST = 20, LOCKS = 1024;

  static final class Entry {
    final long[] payload = new long[20];
    final long key;
    long first, second, third, fourth;

    Entry(long key) {
      this.key = key;
      java.util.Arrays.fill(payload, key);
    }
  }
  record Item(Item next, long value) {}

  final Entry[] table;
  final ReentrantLock[] locks = new ReentrantLock[LOCKS];

  CacheLatency(int entries) {
    table = new Entry[entries];
    for (int key = 0; key < entries; ++key) table[key] = new Entry(key);
    for (int i = 0; i < LOCKS; ++i) locks[i] = new ReentrantLock();
  }

  long lookUp(int key) {
    ReentrantLock lock = locks[key % LOCKS];
    lock.lock();
    try {
      Entry entry = table[key];
      ++entry.first;
      long value = entry.payload[key % 20];
      if (value != key || entry.key != key) throw new IllegalStateException("an entry is damaged");
      return value;
    } finally {
      lock.unlock();
    }
  }

  void replace(int key) {
    Entry entry = new Entry(key);
    ReentrantLock lock = locks[key % LOCKS];
    lock.lock();
    table[key] = entry;
    lock.unlock();
  }

  int any(Program.Random random) { return (int) Long.remainderUnsigned(random.next(), table.length); }

  void replaceUntil(AtomicBoolean stop) {
    Program.Random random = new Program.Random(1);
    for (long next = System.nanoTime(); !stop.get(); next += BATCH_NS) {
      for (int i = 0; i < REPLACEMENTS_PER_BATCH; ++i) replace(any(random));
      LockSupport.parkNanos(next + BATCH_NS - System.nanoTime());
    }
  }

  static Item sink;

  void serve(Program.Random random) {
    Item answer = null;
    for (int i = 0; i < LOOKUPS_PER_REQUEST; ++i) answer = new Item(answer, lookUp(any(random)));
    sink = answer;
  }

  static void collectEvenly(double seconds, int collections) {
    for (int i = 0; i < collections; ++i) {
      LockSupport.parkNanos((long) (seconds * 1e9 / collections / (i == 0 ? 2 : 1)));
      System.gc();
    }
  }

  static void addQuantiles(Program program, String name, double[] values) {
    java.util.Arrays.sort(values);
    String[] names = {"p50", "p99", "p999", "max"};
    double[] quantiles = {.5, .99, .999, 1};
    for (int i = 0; i < names.length; ++i) program.add(name + "_" + names[i] + "_us", values[(int) (quantiles[i] * (values.length - 1))]);
  }

  static void writeQuantiles(String path, double[] values) throws IOException {
    StringBuilder text = new StringBuilder("one_in,us\n");
    for (double oneIn = 2; oneIn <= values.length; oneIn *= Math.pow(10, .1))
      text.append(oneIn).append(',').append(values[(int) ((1 - 1 / oneIn) * values.length)]).append('\n');
    Files.writeString(Path.of(path), text);
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("cache_latency", arguments);
    double millions = Double.parseDouble(program.nextText("millions", "1")), seconds = Double.parseDouble(program.nextText("seconds", "10"));
    int collections = program.next("collections", 0);
    CacheLatency cache = new CacheLatency((int) (millions * 1e6));
    AtomicBoolean stop = new AtomicBoolean(false);
    Thread replacer = new Thread(() -> cache.replaceUntil(stop));
    Thread collector = new Thread(() -> collectEvenly(seconds, collections));
    Program.Random random = new Program.Random(2);
    for (int i = 0; i < 5000; ++i) cache.serve(random);  // compiled before the clock starts
    replacer.start();
    collector.start();
    int requests = (int) (seconds * 1e9 / REQUEST_NS);
    double[] fromSchedule = new double[requests], service = new double[requests];
    long scheduled = System.nanoTime();
    for (int i = 0; i < requests; ++i, scheduled += REQUEST_NS) {
      long takenUp = System.nanoTime();
      while (takenUp < scheduled) takenUp = System.nanoTime();
      cache.serve(random);
      long done = System.nanoTime();
      fromSchedule[i] = (done - scheduled) / 1e3;
      service[i] = (done - takenUp) / 1e3;
    }
    stop.set(true);
    replacer.join();
    collector.join();
    addQuantiles(program, "latency", fromSchedule);
    addQuantiles(program, "service", service);
    if (arguments.length > 3) writeQuantiles(arguments[3], fromSchedule);
    program.end();
  }
}

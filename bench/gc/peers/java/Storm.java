import java.util.concurrent.atomic.AtomicBoolean;

/** Allocation storm: the same work as bench/gc/storm.cc. */
final class Storm {
  static final int RING = 20000, MOST_BYTES = 1024;

  record Node(byte[] payload, long number) {}

  static int bytesOf(long dice) { return (int) (16 + (dice & 0xff) * (dice >> 8 & 0xff) * (MOST_BYTES - 16) / (255 * 255)); }

  static boolean allocate(long seed, int objects) {
    Node[] ring = new Node[RING];
    Program.Random random = new Program.Random(seed);
    boolean right = true;
    for (int i = 0; i < objects; ++i) {
      int bytes = bytesOf(random.next());
      byte[] payload = new byte[bytes];
      payload[bytes - 1] = (byte) i;
      Node node = new Node(payload, i);
      int slot = i / 16 % RING;
      if (i % 16 == 0) {
        if (ring[slot] != null) right &= ring[slot].number == i - 16L * RING && ring[slot].payload[0] == 0;
        ring[slot] = node;
      } else {
        right &= node.payload[bytes - 1] == (byte) i;
      }
    }
    return right;
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("storm", arguments);
    int threads = program.next("threads", 4), objects = program.next("millions", 40) * 1000000;
    AtomicBoolean right = new AtomicBoolean(true);
    Thread[] all = new Thread[threads];
    for (int t = 0; t < threads; ++t) {
      int seed = t;
      all[t] = new Thread(() -> {
        if (!allocate(seed, objects / threads)) right.set(false);
      });
      all[t].start();
    }
    for (Thread thread : all) thread.join();
    program.check(right.get(), "a ring is damaged");
    program.end();
  }
}

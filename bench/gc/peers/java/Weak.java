import java.lang.ref.WeakReference;

/** Weak storm: the same work as bench/gc/weak.cc. */
final class Weak {
  static final class Item {
    final long number, twice;
    long first, second;

    Item(long number) {
      this.number = number;
      twice = 2 * number;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("weak", arguments);
    int objects = program.next("thousands", 500) * 1000, steps = program.next("millions", 5) * 1000000;
    Item[] table = new Item[objects];
    @SuppressWarnings("unchecked") WeakReference<Item>[] observers = (WeakReference<Item>[]) new WeakReference<?>[2 * objects];
    for (int i = 0; i < 2 * objects; ++i) {
      if (i < objects) table[i] = new Item(i);
      observers[i] = new WeakReference<>(table[i % objects]);
    }
    Program.Random random = new Program.Random(1);
    long found = 0;
    for (int step = 0; step < steps; ++step) {
      long dice = random.next();
      int which = (int) ((dice >>> 32) % objects), observer = (int) Long.remainderUnsigned(dice, 2L * objects);
      Item item = observers[observer].get();
      if (item != null) {
        ++found;
        program.check(item.twice == 2 * item.number, "get() yielded a dead object");
      }
      if (step % 2 == 0) table[which] = new Item(which);
      else observers[observer] = new WeakReference<>(table[which]);
    }
    program.add("found_percent", steps == 0 ? 0 : 100.0 * found / steps);
    program.end();
  }
}

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicLong;

/** Finalizer storm: the same work as bench/gc/finalizers.cc, with java.lang.ref.Cleaner. */
final class Finalizers {
  static final int RING = 100000, TRIES = 1000, STALE = 100;
  static final Cleaner CLEANER = Cleaner.create();
  static final AtomicLong destroyed = new AtomicLong();

  static final class Resource {
    final long number;
    long first, second, third;

    Resource(long number) {
      this.number = number;
      CLEANER.register(this, destroyed::incrementAndGet);
    }
  }

  static void makeAll(int objects) {
    Resource[] ring = new Resource[RING];
    for (int i = 0; i < objects; ++i) {
      Resource fresh = new Resource(i);
      if (i % 10 == 0) ring[i / 10 % RING] = fresh;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("finalizers", arguments);
    int objects = program.next("thousands", 3000) * 1000;
    makeAll(objects);
    program.add("destroyed_at_end", destroyed.get());
    for (int i = 0; i < TRIES && destroyed.get() + STALE < objects; ++i) {
      System.gc();
      Thread.sleep(1);
    }
    program.check(destroyed.get() <= objects && destroyed.get() + STALE >= objects, "cleaners did not run, or ran twice");
    program.end();
  }
}

import java.util.concurrent.ArrayBlockingQueue;

/** Messages through a chain of threads: the same work as bench/gc/messages.cc, with the library's queues. */
final class Messages {
  static final long PARTS_AT_FIRST = 8;

  static final class Part {
    final Part next;
    final long value;
    long first, second, third, fourth;

    Part(Part next, long value) {
      this.next = next;
      this.value = value;
    }
  }

  static final class Message {
    Part parts;
    final long number;

    Message(long number) {
      this.number = number;
      for (long i = 0; i < PARTS_AT_FIRST; ++i) add(number + i);
    }
    void add(long value) { parts = new Part(parts, value); }
    long sum() {
      long sum = 0;
      for (Part part = parts; part != null; part = part.next) sum += part.value;
      return sum;
    }
  }

  static Thread start(Work work) {
    Thread thread = new Thread(() -> {
      try {
        work.run();
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    });
    thread.start();
    return thread;
  }
  interface Work { void run() throws InterruptedException; }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("messages", arguments);
    int threads = program.next("threads", 3);
    long messages = program.next("thousands", 2000) * 1000L;
    @SuppressWarnings("unchecked") ArrayBlockingQueue<Message>[] queues = (ArrayBlockingQueue<Message>[]) new ArrayBlockingQueue<?>[threads];
    for (int i = 0; i < threads; ++i) queues[i] = new ArrayBlockingQueue<>(1024);
    for (int t = 1; t + 1 < threads; ++t) {
      int stage = t;
      start(() -> {
        for (long i = 0; i < messages; ++i) {
          Message message = queues[stage].take();
          message.add(stage);
          queues[stage + 1].put(message);
        }
      });
    }
    long[] sum = {0};
    Thread last = start(() -> {
      for (long i = 0; i < messages; ++i) sum[0] += queues[threads - 1].take().sum();
    });
    for (long i = 0; i < messages; ++i) queues[1].put(new Message(i));
    last.join();
    long expected = messages * ((threads - 2) * (threads - 1) / 2 + PARTS_AT_FIRST * (PARTS_AT_FIRST - 1) / 2);
    program.check(sum[0] == expected + PARTS_AT_FIRST * (messages * (messages - 1) / 2), "parts of messages were lost");
    program.end();
  }
}

import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** The frame of bench/gc/program.h for the peers in Java: the same arguments, checks and random numbers, the same line at the end. */
final class Program {
  private final String name;
  private final String[] arguments;
  private final StringBuilder line = new StringBuilder();
  private int taken = 0;
  private long start, cpuAtStart;

  Program(String name, String[] arguments) {
    this.name = name;
    this.arguments = arguments;
    line.append(name).append(" java");
    restartClock();
  }

  int next(String key, int otherwise) { return Integer.parseInt(nextText(key, Integer.toString(otherwise))); }

  /** The next argument of the command line, or otherwise. It becomes part of the report. */
  String nextText(String key, String otherwise) {
    String value = taken < arguments.length ? arguments[taken++] : otherwise;
    add(key, value);
    return value;
  }

  void add(String key, Object value) { line.append(' ').append(key).append('=').append(value); }

  void check(boolean right, String what) {
    if (right) return;
    System.err.println(name + ": " + what);
    System.exit(1);
  }

  void restartClock() {
    start = System.nanoTime();
    cpuAtStart = cpuNs();
  }

  void end() throws IOException {
    double wall = (System.nanoTime() - start) * 1e-9, cpu = (cpuNs() - cpuAtStart) * 1e-9;
    long cycles = 0;
    for (GarbageCollectorMXBean collector : ManagementFactory.getGarbageCollectorMXBeans()) cycles += Math.max(0, collector.getCollectionCount());
    add("cycles", cycles);
    add("wall_s", wall);
    add("cpu_s", cpu);
    for (String status : Files.readAllLines(Path.of("/proc/self/status")))
      if (status.startsWith("VmHWM:")) add("rss_mib", Double.parseDouble(status.replaceAll("[^0-9]", "")) / 1024);
    System.out.println(line);
  }

  /** Processor time of the whole process, the compiler's and the collector's threads included. */
  private static long cpuNs() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  /** SplitMix64. */
  static final class Random {
    private long state;

    Random(long seed) { state = seed; }

    long next() {
      long z = state += 0x9e3779b97f4a7c15L;
      z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
      z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
      return z ^ z >>> 31;
    }
  }
}

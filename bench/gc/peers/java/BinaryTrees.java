import java.util.concurrent.atomic.AtomicLong;

/** Binary trees: the same work as bench/gc/binary_trees.cc. */
final class BinaryTrees {
  static final int MIN_DEPTH = 4;

  static final class Node {
    final Node left, right;

    Node(int depth) {
      left = depth == 0 ? null : new Node(depth - 1);
      right = depth == 0 ? null : new Node(depth - 1);
    }
    int count() { return left == null ? 1 : 1 + left.count() + right.count(); }
  }

  static long buildShortLived(int maxDepth, int first, int threads) {
    long nodes = 0;
    for (int depth = MIN_DEPTH; depth <= maxDepth; depth += 2) {
      int trees = 1 << (maxDepth - depth + MIN_DEPTH);
      for (int i = first; i < trees; i += threads) nodes += new Node(depth).count();
    }
    return nodes;
  }

  static int nodesOf(int depth) { return (2 << depth) - 1; }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("binary_trees", arguments);
    int depth = program.next("depth", 21), threads = program.next("threads", 1);
    program.check(new Node(depth + 1).count() == nodesOf(depth + 1), "the stretch tree lost nodes");
    Node longLived = new Node(depth);
    AtomicLong nodes = new AtomicLong();
    Thread[] all = new Thread[threads];
    for (int t = 0; t < threads; ++t) {
      int first = t;
      all[t] = new Thread(() -> nodes.addAndGet(buildShortLived(depth, first, threads)));
      all[t].start();
    }
    for (Thread thread : all) thread.join();
    long expected = 0;
    for (int d = MIN_DEPTH; d <= depth; d += 2) expected += (1L << (depth - d + MIN_DEPTH)) * nodesOf(d);
    program.check(nodes.get() == expected && longLived.count() == nodesOf(depth), "nodes were lost");
    program.end();
  }
}

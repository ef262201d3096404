/** GCBench: the same work as bench/gc/gcbench.cc. */
final class GcBench {
  static final class Node {
    Node left, right;
    int first, second;

    Node() {}
    Node(Node left, Node right) {
      this.left = left;
      this.right = right;
    }
    void populate(int depth) {
      if (depth == 0) return;
      left = new Node();
      right = new Node();
      left.populate(depth - 1);
      right.populate(depth - 1);
    }
    int count() { return left == null ? 1 : 1 + left.count() + right.count(); }
  }

  static Node sink;

  static int sizeOfTree(int depth) { return (2 << depth) - 1; }

  static Node topDown(int depth) {
    Node root = new Node();
    root.populate(depth);
    return root;
  }

  static Node bottomUp(int depth) {
    if (depth == 0) return new Node();
    Node left = bottomUp(depth - 1), right = bottomUp(depth - 1);
    return new Node(left, right);
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("gcbench", arguments);
    int depth = program.next("depth", 18);
    sink = bottomUp(depth + 2);
    sink = null;
    Node longLived = topDown(depth);
    double[] numbers = new double[8 << depth];
    for (int i = 1; i < numbers.length / 2; ++i) numbers[i] = 1.0 / i;
    for (int d = 4; d <= depth; d += 2) {
      long trees = 2L * sizeOfTree(depth + 2) / sizeOfTree(d);
      for (long i = 0; i < trees; ++i) sink = topDown(d);
      for (long i = 0; i < trees; ++i) sink = bottomUp(d);
    }
    program.check(longLived.count() == sizeOfTree(depth), "the long-lived tree lost nodes");
    program.check(numbers[16] == 1.0 / 16, "the long-lived array is damaged");
    program.end();
  }
}

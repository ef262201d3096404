/** Graph mutation: the same work as bench/gc/graph.cc. */
final class Graph {
  record Attribute(Attribute next, long value) {}

  static final class Node {
    Node first, second, third, fourth;
    Attribute attributes;
    final long number;

    Node(long number) {
      this.number = number;
      replaceAttributes();
    }
    void replaceAttributes() {
      Attribute list = null;
      for (int i = 0; i < 6; ++i) list = new Attribute(list, number);
      attributes = list;
    }
    void setEdge(int edge, Node to) {
      switch (edge) {
        case 0 -> first = to;
        case 1 -> second = to;
        case 2 -> third = to;
        default -> fourth = to;
      }
    }
    long sumOfEdges() { return numberOf(first) + numberOf(second) + numberOf(third) + numberOf(fourth); }
    private static long numberOf(Node node) { return node == null ? 0 : node.number; }
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("graph", arguments);
    int nodes = program.next("nodes", 1000000), steps = program.next("millions", 20) * 1000000;
    Node[] table = new Node[nodes];
    for (int i = 0; i < nodes; ++i) table[i] = new Node(i);
    Program.Random random = new Program.Random(1);
    for (int i = 0; i < steps; ++i) {
      long dice = random.next();
      Node node = table[(int) ((dice >>> 32) % nodes)];
      node.setEdge((int) (dice & 3), table[(int) Long.remainderUnsigned(dice >>> 8, nodes)]);
      if (i % 8 == 0) node.replaceAttributes();
    }
    long sum = 0;
    for (int i = 0; i < nodes; ++i) {
      sum += table[i].sumOfEdges();
      program.check(table[i].attributes.value == i && table[i].attributes.next.value == i, "an attribute is damaged");
    }
    program.add("sum", sum);
    program.end();
  }
}

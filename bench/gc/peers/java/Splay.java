/** Splay tree: the same work as bench/gc/splay.cc. */
final class Splay {
  static final class Payload {
    final Payload left, right;
    final long first, second;
    long third, fourth;

    Payload(int depth, long key) {
      left = depth == 0 ? null : new Payload(depth - 1, key);
      right = depth == 0 ? null : new Payload(depth - 1, key);
      first = second = key;
    }
  }

  static final class Node {
    Node left, right;
    final Payload payload;
    final long key;

    Node(long key, Payload payload) {
      this.key = key;
      this.payload = payload;
    }
    int count() {
      return (payload.second == key ? 1 : 0) + (left == null ? 0 : left.count()) + (right == null ? 0 : right.count());
    }
  }

  Node root;
  int size;

  void splay(long key) {
    if (root == null) return;
    Node header = new Node(0, null), left = header, right = header, current = root;
    for (;;) {
      int order = Long.compareUnsigned(key, current.key);
      if (order < 0) {
        if (current.left == null) break;
        if (Long.compareUnsigned(key, current.left.key) < 0) {
          Node child = current.left;
          current.left = child.right;
          child.right = current;
          current = child;
          if (current.left == null) break;
        }
        right.left = current;
        right = current;
        current = current.left;
      } else if (order > 0) {
        if (current.right == null) break;
        if (Long.compareUnsigned(key, current.right.key) > 0) {
          Node child = current.right;
          current.right = child.left;
          child.left = current;
          current = child;
          if (current.right == null) break;
        }
        left.right = current;
        left = current;
        current = current.right;
      } else {
        break;
      }
    }
    left.right = current.left;
    right.left = current.right;
    current.left = header.right;
    current.right = header.left;
    root = current;
  }

  boolean insert(long key) {
    splay(key);
    if (root != null && root.key == key) return false;
    Node node = new Node(key, new Payload(4, key));
    if (root != null) {
      if (Long.compareUnsigned(key, root.key) > 0) {
        node.left = root;
        node.right = root.right;
        root.right = null;
      } else {
        node.right = root;
        node.left = root.left;
        root.left = null;
      }
    }
    root = node;
    ++size;
    return true;
  }

  void removeNear(long key) {
    splay(key);
    Node removed = root;
    if (removed.left == null) {
      root = removed.right;
    } else {
      root = removed.left;
      splay(removed.key);
      root.right = removed.right;
    }
    --size;
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("splay", arguments);
    int nodes = program.next("nodes", 40000), steps = program.next("steps", 400000);
    Program.Random random = new Program.Random(1);
    Splay tree = new Splay();
    while (tree.size < nodes) tree.insert(random.next());
    for (int i = 0; i < steps; ++i) {
      while (!tree.insert(random.next())) {
      }
      tree.removeNear(random.next());
    }
    program.check(tree.root.count() == nodes, "the tree lost nodes");
    program.end();
  }
}

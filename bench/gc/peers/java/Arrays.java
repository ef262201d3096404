/** Large arrays of pointers: the same work as bench/gc/arrays.cc. */
final class Arrays {
  static final int CELLS = 100000, STEPS_PER_COPY = 20000;

  static final class Item {
    final long number;
    long first, second, third;

    Item(long number) { this.number = number; }
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("arrays", arguments);
    int shelves = program.next("shelves", 20), steps = program.next("millions", 10) * 1000000;
    Item[][] table = new Item[shelves][CELLS];
    for (Item[] shelf : table)
      for (int i = 0; i < CELLS; ++i) shelf[i] = new Item(i);
    Program.Random random = new Program.Random(1);
    for (int step = 0; step < steps; ++step) {
      long dice = random.next();
      int cell = (int) ((dice >>> 32) % CELLS), which = (int) Long.remainderUnsigned(dice, shelves);
      table[which][cell] = new Item(cell);
      if (step % STEPS_PER_COPY == 0) table[which] = table[which].clone();
    }
    for (Item[] shelf : table)
      for (int i = 0; i < CELLS; ++i) program.check(shelf[i].number == i, "a cell is damaged");
    program.end();
  }
}

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** JSON documents parsed and dropped: the same parser and the same values as bench/gc/json.cc; strings are arrays of bytes there and here. */
final class Json {
  static final int KEPT = 100;

  enum Type { NULL, BOOLEAN, NUMBER, TEXT, LIST, OBJECT }

  static final class Value {
    Value next, first;
    byte[] name, text;
    double number;
    final Type type;

    Value(Type type) { this.type = type; }
    int count() {
      int n = 1;
      for (Value v = first; v != null; v = v.next) n += v.count();
      return n;
    }
  }

  private final byte[] text;
  private int at = 0;

  Json(byte[] text) { this.text = text; }

  private int peek() {
    while (at < text.length && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r')) ++at;
    return at < text.length ? text[at] : 0;
  }
  private void step(int by) { at = Math.min(at + by, text.length); }

  Value value() {
    return switch (peek()) {
      case '{' -> members(Type.OBJECT, '}');
      case '[' -> members(Type.LIST, ']');
      case '"' -> {
        Value v = new Value(Type.TEXT);
        v.text = string();
        yield v;
      }
      case 't' -> word(Type.BOOLEAN, 4, 1);
      case 'f' -> word(Type.BOOLEAN, 5, 0);
      case 'n' -> word(Type.NULL, 4, 0);
      default -> number();
    };
  }

  private Value word(Type type, int letters, double number) {
    step(letters);
    Value v = new Value(type);
    v.number = number;
    return v;
  }

  private Value number() {
    int begin = at;
    while (at < text.length && "+-.0123456789eE".indexOf(text[at]) >= 0) ++at;
    Value v = new Value(Type.NUMBER);
    if (begin == at) at = text.length;  // not JSON: no further
    else v.number = Double.parseDouble(new String(text, begin, at - begin));
    return v;
  }

  private byte[] string() {
    step(1);
    int begin = at;
    while (at < text.length && text[at] != '"') step(text[at] == '\\' ? 2 : 1);
    byte[] string = begin == at ? null : java.util.Arrays.copyOfRange(text, begin, at);
    step(1);
    return string;
  }

  private Value members(Type type, int close) {
    Value v = new Value(type), last = null;
    step(1);
    while (at < text.length && peek() != close) {
      byte[] name = null;
      if (type == Type.OBJECT) {
        name = string();
        peek();
        step(1);
      }
      Value member = value();
      member.name = name;
      if (last == null) v.first = member;
      else last.next = member;
      last = member;
      if (peek() == ',') step(1);
    }
    step(1);
    return v;
  }

  public static void main(String[] arguments) throws Exception {
    Program program = new Program("json", arguments);
    long bytes = program.next("megabytes", 300) * 1000000L;
    List<byte[]> texts = new ArrayList<>();
    try (Stream<Path> paths = Files.list(Path.of(program.nextText("folder", "/usr/share/iso-codes/json")))) {
      for (Path path : paths.filter(p -> p.toString().endsWith(".json")).sorted().toList()) texts.add(Files.readAllBytes(path));
    }
    program.check(!texts.isEmpty(), "no JSON files: install the package iso-codes");
    Value[] recent = new Value[KEPT];
    long parsed = 0, values = 0;
    program.restartClock();
    for (int i = 0; parsed < bytes; ++i) {
      byte[] text = texts.get(i % texts.size());
      Value document = new Json(text).value();
      values += document.count();
      parsed += text.length;
      recent[i % KEPT] = document;
    }
    program.add("values", values);
    program.end();
  }
}

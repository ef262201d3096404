// JSON documents parsed and dropped: the text of real files, parsed into a tree of values over and over; the last 100 documents stay
// (a cache of recent ones), so that documents of all ages die. Strings are objects of their own.
//
//   json_MEMORY [megabytes of text = 300] [folder = /usr/share/iso-codes/json]
//
// The folder is Debian's package iso-codes; its *.json are read before the clock starts, in the order of their names.

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

constexpr std::size_t kKept = 100;

enum class Type : std::uint8_t { null, boolean, number, text, list, object };

struct String {
  Memory::Array<char> characters{};
  std::size_t length = 0;
};

// A member's name is `name`; the members of an object or list hang on `first` and their `next`.
struct Value {
  explicit Value(Type t) noexcept : next(nullptr), first(nullptr), type(t) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next, first, name.characters, text.characters); }

  Field<Value> next, first;
  String name, text;
  double number = 0;
  Type type;
};

[[maybe_unused]] void release(Value* value) {
  while (value != nullptr) {
    release(&*value->first);
    if (value->name.length != 0) Memory::free_array(value->name.characters);
    if (value->text.length != 0) Memory::free_array(value->text.characters);
    Memory::free(std::exchange(value, &*value->next));
  }
}

// Trusts the text to be JSON where a mistake does no harm.
class Parser {
 public:
  explicit Parser(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}

  Local<Value> value() {
    switch (peek()) {
      case '{': return members(Type::object, '}');
      case '[': return members(Type::list, ']');
      case '"': {
        auto v = Memory::make<Value>(Type::text);
        v->text = string();
        return v;
      }
      case 't': return word(Type::boolean, 4, 1);
      case 'f': return word(Type::boolean, 5, 0);
      case 'n': return word(Type::null, 4, 0);
      default: return number();
    }
  }

 private:
  char peek() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
    return at_ < end_ ? *at_ : '\0';
  }
  void step() { at_ += at_ < end_; }

  Local<Value> word(Type type, int letters, double number) {
    at_ = std::min(at_ + letters, end_);
    auto v = Memory::make<Value>(type);
    v->number = number;
    return v;
  }

  Local<Value> number() {
    auto v = Memory::make<Value>(Type::number);
    const auto [rest, error] = std::from_chars(at_, end_, v->number);
    at_ = error == std::errc() ? rest : end_;  // not JSON: no further
    return v;
  }

  // Escapes stay as they are.
  String string() {
    step();
    const char* begin = at_;
    while (at_ < end_ && *at_ != '"') at_ += *at_ == '\\' ? 2 : 1;
    at_ = std::min(at_, end_);
    const auto length = static_cast<std::size_t>(at_ - begin);
    step();
    if (length == 0) return {};
    String s{Memory::make_array<char>(length), length};
    std::memcpy(&s.characters[0], begin, length);
    return s;
  }

  Local<Value> members(Type type, char close) {
    auto v = Memory::make<Value>(type);
    step();
    Field<Value>* link = &v->first;
    while (at_ < end_ && peek() != close) {
      String name;
      if (type == Type::object) {
        name = string();
        peek();  // the colon
        step();
      }
      auto member = value();
      member->name = name;
      *link = Memory::field(member);
      link = &member->next;
      if (peek() == ',') step();
    }
    step();
    return v;
  }

  const char *at_, *end_;
};

std::size_t count(const Value& value) {
  std::size_t n = 1;
  for (const Value* v = &*value.first; v != nullptr; v = &*v->next) n += count(*v);
  return n;
}

std::vector<std::string> read_texts(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return texts;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("json", argc, argv);
  const auto bytes = program.next<std::size_t>("megabytes", 300) * 1'000'000;
  const std::vector<std::string> texts = read_texts(program.next<std::string>("folder", "/usr/share/iso-codes/json"));
  program.check(!texts.empty(), "no JSON files: install the package iso-codes");
  auto recent = Memory::make_table<Value>(kKept);
  std::size_t parsed = 0, values = 0;
  program.restart_clock();
  for (std::size_t i = 0; parsed < bytes; ++i) {
    const std::string& text = texts[i % texts.size()];
    auto document = Parser(text).value();
    values += count(*document);
    parsed += text.size();
    Field<Value>& slot = recent[i % kKept];
    if constexpr (Memory::explicit_free) release(&*slot);
    slot = Memory::field(document);
  }
  program.add("values", values);
  return program.end();
}

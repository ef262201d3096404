// The frame of a benchmark of the collector: what it was asked to do, what it measures, its one line at the end. A program
// is written once and compiled with each memory policy (memory_*.h), so that all variants do the same work:
//
//   Local<T>   on the stack or in a stack object       make<T>(...)  make_finalized<T>(...)
//   Field<T>   in an object or a table                 field(local) -> Field   load(field) -> Local
//   Table<T>   array of fields                         make_table<T>(length)
//   Array<T>   array of plain data, zeroed             make_array<T>(length)
//   Weak<T>    empty once the object is gone           weak_of(local)  lock(weak) -> Local; not with explicit free
//   free, free_array: at the place where the object is known to be dead. They do something in the policy malloc only.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <vector>

#include BENCH_MEMORY

namespace bench {

template <class T>
using Local = typename Memory::template Local<T>;
template <class T>
using Field = typename Memory::template Field<T>;
template <class T>
using Table = typename Memory::template Table<T>;

class Program {
 public:
  Program(const char* name, int argc, char** argv) : name_(name), arguments_(argv + 1, argv + argc), report_(name, Memory::name) {
    Memory::begin();
  }

  // The next argument of the command line, or `otherwise`. It becomes part of the report.
  template <class Value>
  Value next(std::string_view key, Value otherwise) {
    if (taken_ < arguments_.size()) {
      std::istringstream text(arguments_[taken_++]);
      if (!(text >> otherwise) || !text.eof()) fail("an argument is not what it should be");
    }
    report_.add(key, otherwise);
    return otherwise;
  }

  void restart_clock() { report_.restart_clock(); }  // what came before was preparation

  template <class Value>
  void add(std::string_view key, const Value& value) { report_.add(key, value); }

  // Results are compared, so that no variant wins by doing less.
  void check(bool right, const char* what) const {
    if (!right) fail(what);
  }

  int end() {
    Memory::add_statistics(report_);
    report_.print();
    return 0;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    std::fprintf(stderr, "%s: %s\n", name_, what);
    std::exit(1);
  }

  const char* name_;
  std::vector<const char*> arguments_;
  std::size_t taken_ = 0;
  Report report_;
};

// SplitMix64: the same numbers in every language, and cheap enough not to be what is measured.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }

 private:
  std::uint64_t state_;
};

}  // namespace bench

// A heap dump in memory: objects and references by number. Object 0 stands for the roots.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lull::heap_report {

using Object = std::uint32_t;
inline constexpr Object kRoots = 0;

struct Type {
  std::string name;
  std::uint64_t objects = 0, bytes = 0;                      // reachable
  std::uint64_t allocated_objects = 0, allocated_bytes = 0;  // also those that are garbage but not freed yet
};

struct Root {
  enum class Kind : std::uint8_t { cell, stack, destructor, callback, function };
  Kind kind;
  std::uint64_t where;  // address of the cell, number of the thread
  Object object;
};

struct Edge {
  Object from, to;
};

// References grouped by the object they start from.
class References {
 public:
  References() = default;
  References(std::size_t objects, const std::vector<Edge>& edges);
  // The same turned round.
  References(const References& other, std::size_t objects);
  std::span<const Object> of(Object o) const { return {to_.data() + first_[o], to_.data() + first_[o + 1]}; }
  std::size_t size() const { return to_.size(); }

 private:
  std::vector<std::uint32_t> first_;
  std::vector<Object> to_;
};

struct Dump {
  std::vector<std::uint64_t> addresses;   // by object
  std::vector<std::uint64_t> sizes;
  std::vector<std::uint32_t> types_of;
  References references;                  // those of object 0: the roots
  std::vector<Type> types;                // 0: unknown
  std::vector<Root> roots;
  std::vector<std::pair<std::uint64_t, std::string>> threads;
  std::uint64_t wall_ns = 0, cycle = 0, bytes = 0;

  std::size_t objects() const { return addresses.size(); }  // object 0 included
  const std::string& type_name(Object o) const { return types[types_of[o]].name; }
};

// Throws std::runtime_error that says what is wrong with the file.
Dump read_dump(const std::string& path);
Dump parse_dump(std::string_view bytes);

}  // namespace lull::heap_report

#include "apps/heap/dump.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string_view>

namespace lull::heap_report {

References::References(std::size_t objects, const std::vector<Edge>& edges) : first_(objects + 1), to_(edges.size()) {
  for (const Edge& e : edges) ++first_[e.from + 1];
  for (std::size_t i = 1; i <= objects; ++i) first_[i] += first_[i - 1];
  std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
  for (const Edge& e : edges) to_[next[e.from]++] = e.to;
}

References::References(const References& other, std::size_t objects) : first_(objects + 1), to_(other.to_.size()) {
  for (Object to : other.to_) ++first_[to + 1];
  for (std::size_t i = 1; i <= objects; ++i) first_[i] += first_[i - 1];
  std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
  for (Object from = 0; from < objects; ++from)
    for (Object to : other.of(from)) to_[next[to]++] = from;
}

namespace {

constexpr std::string_view kMagic = "lull heap dump 1\n";

// Of a whole heap: no address space is larger, and sums, shares and differences of bytes fit into 64 bits.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 57;

// Addresses to objects: open addressing.
class Index {
 public:
  explicit Index(const std::vector<std::uint64_t>& addresses) : addresses_(addresses) {
    while ((std::size_t{1} << bits_) < addresses.size() * 2) ++bits_;
    slots_.resize(std::size_t{1} << bits_);
    for (Object o = 1; o < addresses.size(); ++o) slots_[place_of(addresses[o])] = o;
  }
  Object find(std::uint64_t address) const {
    const Object o = slots_[place_of(address)];
    if (o == 0) throw std::runtime_error("a reference to an object that is not in the dump");
    return o;
  }

 private:
  std::size_t place_of(std::uint64_t address) const {
    std::size_t i = address * 0x9e3779b97f4a7c15u >> (64 - bits_);
    while (slots_[i] != 0 && addresses_[slots_[i]] != address) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  const std::vector<std::uint64_t>& addresses_;
  unsigned bits_ = 4;
  std::vector<Object> slots_;
};

class Parser {
 public:
  explicit Parser(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {
    if (bytes.substr(0, kMagic.size()) != kMagic) throw std::runtime_error("not a heap dump of lull, or of another version");
    at_ += kMagic.size();
    dump_.addresses.push_back(0);
    dump_.sizes.push_back(0);
    dump_.types_of.push_back(0);
    dump_.types.push_back({"(unknown)"});
  }

  Dump parse() {
    base_ = number();
    dump_.wall_ns = number();
    dump_.cycle = number();
    while (record()) {
    }
    if (objects_ != dump_.objects() - 1 || bytes_ != dump_.bytes) throw std::runtime_error("the dump does not add up");
    link();
    return std::move(dump_);
  }

 private:
  // A reference, as it is in the file: from an object or from the roots to an address.
  struct RawEdge {
    Object from;
    std::uint64_t to;
  };
  struct RawEphemeron {
    std::uint64_t key, value;
  };

  bool record() {
    switch (byte()) {
      case 'K': return kind();
      case 'S': return thread();
      case 'R': return root();
      case 'O': return object();
      case 'E': return ephemeron();
      case 'T': return total();
      case 'Z': objects_ = number(); bytes_ = number(); return false;
      default: throw std::runtime_error("an unknown record");
    }
  }
  bool kind() {
    const std::uint64_t id = number();
    number();  // layout
    if (id != dump_.types.size()) throw std::runtime_error("types are out of order");
    dump_.types.push_back({text()});
    return true;
  }
  bool thread() {
    const std::uint64_t tid = number();
    dump_.threads.emplace_back(tid, text());
    return true;
  }
  bool root() {
    const std::uint64_t kind = number(), where = number(), address = number();
    if (kind > static_cast<std::uint64_t>(Root::Kind::function)) throw std::runtime_error("an unknown kind of root");
    if (dump_.objects() != 1) throw std::runtime_error("a root behind the objects");
    dump_.roots.push_back({static_cast<Root::Kind>(kind), where, 0});
    edges_.push_back({kRoots, address});
    return true;
  }
  bool object() {
    const std::uint64_t type = number();
    if (type >= dump_.types.size()) throw std::runtime_error("an unknown type");
    unit_ += difference();
    const std::uint64_t bytes = number();
    const auto self = static_cast<Object>(dump_.objects());
    if (self == std::numeric_limits<Object>::max()) throw std::runtime_error("too many objects");
    if (bytes > kMostBytes - dump_.bytes) throw std::runtime_error("more bytes than there are addresses");
    dump_.addresses.push_back(unit_);
    dump_.sizes.push_back(bytes);
    dump_.types_of.push_back(static_cast<std::uint32_t>(type));
    dump_.types[type].objects += 1;
    dump_.types[type].bytes += bytes;
    dump_.bytes += bytes;
    while (const std::uint64_t d = difference()) edges_.push_back({self, unit_ + d});
    return true;
  }
  // The value lives while the key does: the key holds it.
  bool ephemeron() {
    number();
    const std::uint64_t key = number();
    ephemerons_.push_back({key, number()});
    return true;
  }
  bool total() {
    const std::uint64_t type = number();
    if (type >= dump_.types.size()) throw std::runtime_error("an unknown type");
    dump_.types[type].allocated_objects += number();
    dump_.types[type].allocated_bytes += number();
    return true;
  }

  void link() {
    const Index index(dump_.addresses);
    std::vector<Edge> edges;
    if (edges_.size() + ephemerons_.size() > std::numeric_limits<std::uint32_t>::max()) throw std::runtime_error("too many references");
    edges.reserve(edges_.size() + ephemerons_.size());
    for (const RawEdge& e : edges_) edges.push_back({e.from, index.find(e.to)});
    for (std::size_t i = 0; i < dump_.roots.size(); ++i) dump_.roots[i].object = edges[i].to;  // roots come first in the file
    for (const RawEphemeron& e : ephemerons_) edges.push_back({index.find(e.key), index.find(e.value)});
    dump_.references = References(dump_.objects(), edges);
    for (std::uint64_t& address : dump_.addresses) address = base_ + address * 8;
    dump_.addresses[0] = 0;
  }

  std::uint8_t byte() {
    if (at_ == end_) throw std::runtime_error("the dump is cut off");
    return static_cast<std::uint8_t>(*at_++);
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t b = byte();
      value |= std::uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return value;
    }
    throw std::runtime_error("a number that is too long");
  }
  std::uint64_t difference() {
    const std::uint64_t z = number();
    return z >> 1 ^ (0 - (z & 1));
  }
  std::string text() {
    const std::uint64_t n = number();
    if (n > static_cast<std::uint64_t>(end_ - at_)) throw std::runtime_error("the dump is cut off");
    std::string s(at_, n);
    at_ += n;
    return s;
  }

  const char *at_, *end_;
  Dump dump_;
  std::vector<RawEdge> edges_;
  std::vector<RawEphemeron> ephemerons_;
  std::uint64_t base_ = 0, unit_ = 0, objects_ = 0, bytes_ = 0;
};

}  // namespace

Dump parse_dump(std::string_view bytes) { return Parser(bytes).parse(); }

Dump read_dump(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat file {};
  if (fd < 0 || ::fstat(fd, &file) != 0) throw std::runtime_error(path + ": " + std::strerror(errno));
  const auto size = static_cast<std::size_t>(file.st_size);
  void* bytes = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (bytes == MAP_FAILED || bytes == nullptr) throw std::runtime_error(path + ": cannot be read");
  try {
    Dump dump = parse_dump({static_cast<const char*>(bytes), size});
    ::munmap(bytes, size);
    return dump;
  } catch (const std::runtime_error& e) {
    ::munmap(bytes, size);
    throw std::runtime_error(path + ": " + e.what());
  }
}

}  // namespace lull::heap_report

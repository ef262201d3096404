#include "alloc/os/cgroup.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/os/no_cancellation.h"

namespace lull::os {
namespace {

constexpr std::size_t kLongest = 1024;  // a path, a line: what is longer is not found
constexpr std::size_t kNoneInVersion1 = std::size_t{1} << 62;  // it writes the greatest multiple of a page

struct Path {
  char text[kLongest] = {};
  bool set(const char* a, const char* b, const char* c = "") {
    const int length = std::snprintf(text, sizeof text, "%s%s%s", a, b, c);
    return length >= 0 && static_cast<std::size_t>(length) < sizeof text;
  }
};

struct Mount {
  Path root;   // what of the hierarchy is mounted
  Path point;  // where
};

// In a mapping of its own, zero at first: malloc gets here in any thread, and stacks may be of 16 KiB.
struct Scratch {
  Path file, group, directory;
  Mount mount;
  char buffer[2048], line[kLongest];
};

// The lines of a file, one after the other, without their ends; those that are too long are cut.
class Lines {
 public:
  Lines(const char* path, Scratch& scratch) : file_(::open(path, O_RDONLY | O_CLOEXEC)), buffer_(scratch.buffer), line_(scratch.line) {}
  ~Lines() {
    if (file_ >= 0) ::close(file_);
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  char* next() {
    std::size_t length = 0;
    bool any = false;
    for (int c; (c = get()) >= 0;) {
      any = true;
      if (c == '\n') break;
      if (length + 1 < kLongest) line_[length++] = static_cast<char>(c);
    }
    line_[length] = 0;
    return any ? line_ : nullptr;
  }

 private:
  int get() {
    if (at_ == filled_) {
      const ssize_t n = file_ < 0 ? 0 : ::pread(file_, buffer_, sizeof(Scratch::buffer), offset_);
      if (n <= 0) return -1;
      offset_ += n;
      at_ = 0;
      filled_ = static_cast<std::size_t>(n);
    }
    return static_cast<unsigned char>(buffer_[at_++]);
  }

  int file_;
  off_t offset_ = 0;
  std::size_t at_ = 0, filled_ = 0;
  char* buffer_;
  char* line_;
};

// Cuts the next word off; nullptr at the end.
char* cut_word(char*& rest, char separator) {
  if (rest == nullptr) return nullptr;
  char* word = rest;
  char* end = std::strchr(rest, separator);
  if (end != nullptr) *end++ = 0;
  rest = end;
  return word;
}

bool contains_word(char* list, const char* wanted) {
  while (char* word = cut_word(list, ','))
    if (std::strcmp(word, wanted) == 0) return true;
  return false;
}

std::size_t read_limit(const char* file, Scratch& scratch) {
  if (!scratch.file.set(scratch.directory.text, "/", file)) return kNoLimit;
  Lines lines(scratch.file.text, scratch);
  const char* line = lines.next();
  if (line == nullptr || *line < '0' || *line > '9') return kNoLimit;  // "max"
  const unsigned long long bytes = std::strtoull(line, nullptr, 10);
  return bytes >= kNoneInVersion1 ? kNoLimit : static_cast<std::size_t>(bytes);
}

std::size_t memory_limit_of_group(Scratch& scratch) {
  return std::min({read_limit("memory.max", scratch), read_limit("memory.high", scratch), read_limit("memory.limit_in_bytes", scratch)});
}

// A positive number; 0: none. Moves `at` behind it.
std::uint64_t read_number(const char*& at) {
  if (*at < '0' || *at > '9') return 0;  // "max", "-1"
  char* end;
  const std::uint64_t number = std::strtoull(at, &end, 10);
  at = end;
  return number;
}

std::size_t thousandths(std::uint64_t quota, std::uint64_t period) {
  std::uint64_t product;
  return quota == 0 || period == 0 || __builtin_mul_overflow(quota, 1000u, &product) ? kNoLimit : std::max<std::size_t>(product / period, 1);
}

std::uint64_t read_number_in(const char* file, Scratch& scratch) {
  if (!scratch.file.set(scratch.directory.text, "/", file)) return 0;
  Lines lines(scratch.file.text, scratch);
  const char* line = lines.next();
  return line == nullptr ? 0 : read_number(line);
}

std::size_t cpu_limit_of_group(Scratch& scratch) {
  const std::size_t version1 = thousandths(read_number_in("cpu.cfs_quota_us", scratch), read_number_in("cpu.cfs_period_us", scratch));
  if (!scratch.file.set(scratch.directory.text, "/cpu.max")) return version1;
  Lines lines(scratch.file.text, scratch);  // "quota period"
  const char* line = lines.next();
  if (line == nullptr) return version1;
  const std::uint64_t quota = read_number(line);
  while (*line == ' ') ++line;
  return std::min(version1, thousandths(quota, read_number(line)));
}

// One of the controllers whose limits are looked for.
struct Controller {
  const char* name;
  std::size_t (*limit_of_group)(Scratch& scratch);
};
constexpr Controller kMemory{"memory", memory_limit_of_group}, kCpu{"cpu", cpu_limit_of_group};

// The group's path within one hierarchy, from /proc/self/cgroup: "number:controllers:path"; version 2 has no controllers.
bool find_group(const char* root, bool version2, const Controller& controller, Scratch& scratch) {
  if (!scratch.file.set(root, "/proc/self/cgroup")) return false;
  Lines lines(scratch.file.text, scratch);
  while (char* rest = lines.next()) {
    cut_word(rest, ':');
    char* controllers = cut_word(rest, ':');
    if (controllers == nullptr || rest == nullptr) continue;
    if (version2 ? *controllers == 0 : contains_word(controllers, controller.name)) return scratch.group.set(rest, "");
  }
  return false;
}

// A line of mountinfo: id parent device root point options [tags] - type source super-options.
bool find_mount(const char* root, bool version2, const Controller& controller, Scratch& scratch) {
  if (!scratch.file.set(root, "/proc/self/mountinfo")) return false;
  Lines lines(scratch.file.text, scratch);
  while (char* rest = lines.next()) {
    char* words[6];
    for (char*& word : words) word = cut_word(rest, ' ');
    while (char* tag = cut_word(rest, ' '))
      if (std::strcmp(tag, "-") == 0) break;
    const char* type = cut_word(rest, ' ');
    cut_word(rest, ' ');
    if (type == nullptr || words[4] == nullptr || std::strcmp(type, version2 ? "cgroup2" : "cgroup") != 0) continue;
    if (!version2 && (rest == nullptr || !contains_word(rest, controller.name))) continue;
    return scratch.mount.root.set(words[3], "") && scratch.mount.point.set(root, words[4]);
  }
  return false;
}

// The path of `group` below the mounted part; "" when it lies elsewhere, as that of a container without a name space of its own,
// which sees its group mounted as the root.
const char* below(const char* mounted, const char* group) {
  const std::size_t length = std::strcmp(mounted, "/") == 0 ? 0 : std::strlen(mounted);
  const bool is_below = std::strncmp(mounted, group, length) == 0 && (group[length] == '/' || group[length] == 0);
  return is_below && std::strstr(group, "/..") == nullptr ? group + length : "";
}

std::size_t limit_in_hierarchy(const char* root, bool version2, const Controller& controller, Scratch& scratch) {
  if (!find_group(root, version2, controller, scratch) || !find_mount(root, version2, controller, scratch)) return kNoLimit;
  const char* const point = scratch.mount.point.text;
  char* const directory = scratch.directory.text;
  if (!scratch.directory.set(point, below(scratch.mount.root.text, scratch.group.text))) return kNoLimit;
  const std::size_t top = std::strlen(point);
  std::size_t least = kNoLimit;
  for (;;) {
    least = std::min(least, controller.limit_of_group(scratch));
    char* last = std::strrchr(directory, '/');
    if (last == nullptr || static_cast<std::size_t>(last - directory) < top) return least;
    *last = 0;
  }
}

std::size_t limit_of(const Controller& controller, const char* root) {
  const NoCancellation none;
  const int saved = errno;
  std::size_t least = kNoLimit;
  void* const memory = ::mmap(nullptr, sizeof(Scratch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) {
    Scratch& scratch = *new (memory) Scratch;
    least = std::min(limit_in_hierarchy(root, true, controller, scratch), limit_in_hierarchy(root, false, controller, scratch));
    ::munmap(memory, sizeof(Scratch));
  }
  errno = saved;
  return least;
}

}  // namespace

std::size_t cgroup_memory_limit(const char* root) { return limit_of(kMemory, root); }
std::size_t cgroup_cpu_limit(const char* root) { return limit_of(kCpu, root); }

bool parse_bytes(const char* text, std::size_t& into) {
  std::size_t number = 0;
  const char* at = text;
  for (; *at >= '0' && *at <= '9'; ++at)
    if (__builtin_mul_overflow(number, 10u, &number) || __builtin_add_overflow(number, static_cast<unsigned>(*at - '0'), &number)) return false;
  if (at == text || number == 0) return false;
  constexpr char kUnits[] = "KMGT";
  const char upper = static_cast<char>(*at & ~0x20);  // of a blank: 0, which strchr would find
  if (const char* unit = upper == 0 ? nullptr : std::strchr(kUnits, upper); unit != nullptr) {
    const auto shift = static_cast<unsigned>(unit - kUnits + 1) * 10;
    if (number > ~std::size_t{0} >> shift) return false;
    number <<= shift;
    if (*++at == 'i') ++at;
  }
  if (*at == 'B' || *at == 'b') ++at;
  if (*at != 0) return false;
  into = number;
  return true;
}

}  // namespace lull::os

#include "alloc/sample/pprof.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "alloc/base/units.h"
#include "alloc/os/clock.h"
#include "alloc/os/vm.h"
#include "alloc/sample/sampler.h"

namespace lull::sample {
namespace {

constexpr std::uintptr_t kPage = 4096;

enum WireType : std::uint32_t { kNumber = 0, kBytes = 2 };

// A message inside of another one: its length has to be known before it is written.
class Message {
 public:
  void number(std::uint32_t field, std::uint64_t value) {
    varint(field << 3 | kNumber);
    varint(value);
  }
  void nested(std::uint32_t field, const Message& message) {
    varint(field << 3 | kBytes);
    varint(message.used_);
    for (std::size_t i = 0; i < message.used_; ++i) byte(message.bytes_[i]);
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned char>(value | 0x80));
    byte(static_cast<unsigned char>(value));
  }
  void put_as(std::uint32_t field, Output& out) const {
    out.put_varint(field << 3 | kBytes);
    out.put_varint(used_);
    out.put(bytes_, used_);
  }

 private:
  void byte(unsigned char b) {
    if (used_ < sizeof bytes_) bytes_[used_++] = b;
  }
  unsigned char bytes_[(kMostFrames + 8) * 10];  // the longest: a sample's locations and values
  std::size_t used_ = 0;
};

// Call sites, each once; open addressing in mapped memory.
class AddressSet {
 public:
  explicit AddressSet(std::size_t most) : capacity_(std::bit_ceil(std::max<std::size_t>(most * 2, 1024))) {
    words_ = static_cast<std::uintptr_t*>(os::map(bytes()));
  }
  ~AddressSet() {
    if (words_ != nullptr) os::unmap(words_, bytes());
  }
  AddressSet(const AddressSet&) = delete;
  AddressSet& operator=(const AddressSet&) = delete;
  bool is_usable() const { return words_ != nullptr; }
  bool has_room_for(std::size_t n) const { return used_ + n <= capacity_ / 2; }
  void add(std::uintptr_t address) {
    std::size_t at = (address * 0x9e3779b97f4a7c15u >> 20) & (capacity_ - 1);
    for (; words_[at] != 0; at = (at + 1) & (capacity_ - 1))
      if (words_[at] == address) return;
    words_[at] = address;
    ++used_;
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < capacity_; ++i)
      if (words_[i] != 0) visit(words_[i]);
  }

 private:
  std::size_t bytes() const { return round_up(capacity_ * sizeof(std::uintptr_t), kPage); }
  std::size_t capacity_, used_ = 0;
  std::uintptr_t* words_;
};

struct ValueType { const char *type, *unit; };
constexpr ValueType kValues[] = {{"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}};
// What is between the program and the sample: functions whose whole name matches are left out, and what they call.
constexpr char kDropFrames[] =
    "(lull_)?(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign)|memalign|valloc|pvalloc|operator new.*|"
    "(.*::)?lull::.*malloc_allocator.*|lull::(front|sample)::.*";

class Writer {
 public:
  Writer(Output& out, AddressSet& sites) : out_(out), sites_(sites) { string_index("", 0); }

  void write() {
    put_types();
    for_each_stack([this](const Stack& s) { put_sample(s); });
    dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* self) {
      static_cast<Writer*>(self)->put_mappings(*info);
      return 0;
    }, this);
    sites_.for_each([this](std::uintptr_t site) { put_location(site); });
    put_figures();
  }

 private:
  static constexpr std::size_t kMostMappings = 512;  // code behind them is left without a file

  std::uint64_t string_index(const char* text, std::size_t length) {
    out_.put_varint(6 << 3 | kBytes);
    out_.put_varint(length);
    out_.put(text, length);
    return strings_++;
  }
  std::uint64_t string_index(const char* text) { return string_index(text, std::strlen(text)); }

  void put_type(std::uint32_t field, const ValueType& type) {
    Message message;
    message.number(1, string_index(type.type));
    message.number(2, string_index(type.unit));
    message.put_as(field, out_);
  }
  void put_types() {
    for (const ValueType& type : kValues) put_type(1, type);
    put_type(11, {"space", "bytes"});
  }

  // Locations are numbered by their address: that of the call, not of the return behind it.
  void put_sample(const Stack& stack) {
    if (stack.allocated_objects.load(std::memory_order_relaxed) == 0) return;  // only freed there
    if (!sites_.has_room_for(stack.depth)) return;  // many were added since they were counted
    Message locations, values, sample;
    for (std::uint32_t i = 0; i < stack.depth; ++i) {
      sites_.add(stack.frames[i] - 1);
      locations.varint(stack.frames[i] - 1);
    }
    const StackFigures f = figures_of(stack);
    for (const std::int64_t value : {f.allocated_objects, f.allocated_bytes, f.live_objects, f.live_bytes})
      values.varint(static_cast<std::uint64_t>(value));
    sample.nested(1, locations);
    sample.nested(2, values);
    sample.put_as(2, out_);
  }

  void put_mappings(const dl_phdr_info& info) {
    std::uint64_t file = 0, build_id = 0;
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      const auto& header = info.dlpi_phdr[i];
      if (header.p_type != PT_LOAD || !(header.p_flags & PF_X) || mappings_ == kMostMappings) continue;
      if (file == 0) {
        file = file_name(info);
        build_id = build_id_of(info);
      }
      Mapping& m = mapping_[mappings_++];
      const std::uintptr_t start = info.dlpi_addr + header.p_vaddr;
      m = {start & ~(kPage - 1), round_up(start + header.p_memsz, kPage)};
      Message message;
      message.number(1, mappings_);
      message.number(2, m.start);
      message.number(3, m.end);
      message.number(4, header.p_offset & ~(kPage - 1));
      message.number(5, file);
      message.number(6, build_id);
      message.put_as(3, out_);
    }
  }
  std::uint64_t file_name(const dl_phdr_info& info) {
    if (info.dlpi_name[0] != '\0') return string_index(info.dlpi_name);
    char path[1024];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    return string_index(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  }
  // A note: lengths of name and contents, type, name, contents, the last two padded to words.
  std::uint64_t build_id_of(const dl_phdr_info& info) {
    constexpr std::uint32_t kBuildId = 3;
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      if (info.dlpi_phdr[i].p_type != PT_NOTE) continue;
      const auto* at = reinterpret_cast<const unsigned char*>(info.dlpi_addr + info.dlpi_phdr[i].p_vaddr);
      const auto* end = at + info.dlpi_phdr[i].p_memsz;
      while (end - at >= 12) {
        std::uint32_t words[3];
        std::memcpy(words, at, sizeof words);
        const unsigned char* name = at + sizeof words;
        const unsigned char* contents = name + round_up(words[0], 4);
        const unsigned char* next = contents + round_up(words[1], 4);
        if (next > end || next <= at) break;
        if (words[2] == kBuildId && words[0] == 4 && std::memcmp(name, "GNU", 4) == 0) return hexadecimal(contents, words[1]);
        at = next;
      }
    }
    return 0;
  }
  std::uint64_t hexadecimal(const unsigned char* bytes, std::size_t n) {
    char text[2 * 64 + 1];
    n = std::min<std::size_t>(n, 64);
    for (std::size_t i = 0; i < n; ++i) std::snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return string_index(text, 2 * n);
  }

  void put_location(std::uintptr_t site) {
    Message message;
    message.number(1, site);
    for (std::size_t i = 0; i < mappings_; ++i)
      if (site >= mapping_[i].start && site < mapping_[i].end) message.number(2, i + 1);
    message.number(3, site);
    message.put_as(4, out_);
  }

  void put_number(std::uint32_t field, std::uint64_t value) {
    out_.put_varint(field << 3 | kNumber);
    out_.put_varint(value);
  }
  void put_figures() {
    put_number(7, string_index(kDropFrames));
    put_number(9, os::wall_ns());
    put_number(12, sampling_mean());
  }

  struct Mapping { std::uintptr_t start, end; };
  Output& out_;
  AddressSet& sites_;
  std::uint64_t strings_ = 0;
  std::size_t mappings_ = 0;
  Mapping mapping_[kMostMappings];
};

}  // namespace

StackFigures& StackFigures::operator+=(const StackFigures& other) {
  allocated_objects += other.allocated_objects;
  allocated_bytes += other.allocated_bytes;
  live_objects += other.live_objects;
  live_bytes += other.live_bytes;
  return *this;
}

// What was freed is read first: it was allocated before.
StackFigures figures_of(const Stack& s) {
  const auto read = [](const std::atomic<std::uint64_t>& n) { return static_cast<std::int64_t>(n.load(std::memory_order_acquire)); };
  const std::int64_t freed_objects = read(s.freed_objects), freed_bytes = read(s.freed_bytes);
  const std::int64_t objects = read(s.allocated_objects), bytes = read(s.allocated_bytes);
  constexpr std::int64_t kHalf = std::int64_t{1} << (kObjectShift - 1);
  return {(objects + kHalf) >> kObjectShift, bytes, std::max<std::int64_t>((objects - freed_objects + kHalf) >> kObjectShift, 0),
          std::max<std::int64_t>(bytes - freed_bytes, 0)};
}

bool write_pprof(Output& out) {
  std::size_t frames = 4096;  // for those that are added meanwhile
  for_each_stack([&](const Stack& s) { frames += s.depth; });
  AddressSet sites(frames);
  if (!sites.is_usable()) {
    errno = ENOMEM;
    return false;
  }
  void* memory = os::map(round_up(sizeof(Writer), kPage));  // too large for the stack of a signal handler
  if (memory == nullptr) {
    errno = ENOMEM;
    return false;
  }
  (new (memory) Writer(out, sites))->write();
  os::unmap(memory, round_up(sizeof(Writer), kPage));
  return true;
}

}  // namespace lull::sample

#include "alloc/sample/pprof_writer.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "alloc/base/units.h"
#include "alloc/os/clock.h"
#include "alloc/os/vm.h"

namespace lull::sample {
namespace {

constexpr std::uintptr_t kPage = 4096;

enum WireType : std::uint32_t { kNumber = 0, kBytes = 2 };

}  // namespace

AddressSet::AddressSet(std::size_t most) : capacity_(std::bit_ceil(std::max<std::size_t>(most * 2, 1024))) {
  words_ = static_cast<std::uintptr_t*>(os::map(bytes()));
}
AddressSet::~AddressSet() {
  if (words_ != nullptr) os::unmap(words_, bytes());
}

void AddressSet::add(std::uintptr_t address) {
  std::size_t at = (address * 0x9e3779b97f4a7c15u >> 20) & (capacity_ - 1);
  for (; words_[at] != 0; at = (at + 1) & (capacity_ - 1))
    if (words_[at] == address) return;
  words_[at] = address;
  ++used_;
}

std::size_t AddressSet::bytes() const { return round_up(capacity_ * sizeof(std::uintptr_t), kPage); }

// A message inside of another one: its length has to be known before it is written.
class PprofWriter::Message {
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
  unsigned char bytes_[(kMostFrames + 24) * 10];  // the longest: a sample's locations and values
  std::size_t used_ = 0;
};

// The mappings of one loaded file that hold code. A signal may come in the midst of dlclose(), which unmaps a file before it takes it off the list,
// and the handler write a profile: what of the file is not there any more is left out.
class MappingWriter {
 public:
  MappingWriter(PprofWriter& to, const dl_phdr_info& info, const Symbols& symbols) : to_(to), info_(info), symbols_(symbols) {}

  void write() {
    for (int i = 0; i < info_.dlpi_phnum; ++i) {
      ElfW(Phdr) header;
      if (!os::copy_if_mapped(&header, &info_.dlpi_phdr[i], sizeof header)) return;
      if (header.p_type == PT_LOAD && (header.p_flags & PF_X) && to_.mappings_ < PprofWriter::kMostMappings) put(header);
    }
  }

 private:
  void put(const ElfW(Phdr)& header) {
    if (file_ == 0) {
      file_ = file_name();
      build_id_ = build_id();
    }
    PprofWriter::Mapping& m = to_.mapping_[to_.mappings_++];
    const std::uintptr_t start = info_.dlpi_addr + header.p_vaddr;
    m = {start & ~(kPage - 1), round_up(start + header.p_memsz, kPage)};
    PprofWriter::Message message;
    message.number(1, to_.mappings_);
    message.number(2, m.start);
    message.number(3, m.end);
    message.number(4, header.p_offset & ~(kPage - 1));
    message.number(5, file_);
    message.number(6, build_id_);
    if (symbols_.has_names(m.start, m.end)) message.number(7, 1);
    message.put_as(3, to_.out_);
  }
  std::uint64_t file_name() {
    if (info_.dlpi_name[0] != '\0') return to_.string(info_.dlpi_name);
    char path[1024];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    return to_.string({path, length > 0 ? static_cast<std::size_t>(length) : 0});
  }
  // A note: lengths of name and contents, type, name, contents, the last two padded to words.
  std::uint64_t build_id() {
    constexpr std::uint32_t kBuildId = 3;
    for (int i = 0; i < info_.dlpi_phnum; ++i) {
      ElfW(Phdr) header;
      if (!os::copy_if_mapped(&header, &info_.dlpi_phdr[i], sizeof header)) return 0;
      if (header.p_type != PT_NOTE) continue;
      const auto* at = reinterpret_cast<const unsigned char*>(info_.dlpi_addr + header.p_vaddr);
      const auto* end = at + header.p_memsz;
      while (end - at >= 12) {
        std::uint32_t words[3];
        if (!os::copy_if_mapped(words, at, sizeof words)) return 0;
        const unsigned char* contents = at + sizeof words + round_up(words[0], 4);
        const unsigned char* next = contents + round_up(words[1], 4);
        if (next > end || next <= at) break;
        char name[4];
        if (words[2] == kBuildId && words[0] == sizeof name && os::copy_if_mapped(name, at + sizeof words, sizeof name) && std::memcmp(name, "GNU", 4) == 0)
          return hexadecimal(contents, words[1]);
        at = next;
      }
    }
    return 0;
  }
  std::uint64_t hexadecimal(const unsigned char* at, std::size_t n) {
    unsigned char bytes[64];
    char text[2 * sizeof bytes + 1];
    n = std::min<std::size_t>(n, sizeof bytes);
    if (!os::copy_if_mapped(bytes, at, n)) return 0;
    for (std::size_t i = 0; i < n; ++i) std::snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return to_.string({text, 2 * n});
  }

  PprofWriter& to_;
  const dl_phdr_info& info_;
  const Symbols& symbols_;
  std::uint64_t file_ = 0, build_id_ = 0;
};

PprofWriter::PprofWriter(Output& out, AddressSet& sites) : out_(out), sites_(sites) { string(""); }

std::uint64_t PprofWriter::string(std::string_view text) {
  out_.put_varint(6 << 3 | kBytes);
  out_.put_varint(text.size());
  out_.put(text.data(), text.size());
  return strings_++;
}

void PprofWriter::put_number(std::uint32_t field, std::uint64_t value) {
  out_.put_varint(field << 3 | kNumber);
  out_.put_varint(value);
}

void PprofWriter::put_type(std::uint32_t field, const char* type, const char* unit) {
  Message message;
  message.number(1, string(type));
  message.number(2, string(unit));
  message.put_as(field, out_);
}

void PprofWriter::value_type(const char* type, const char* unit) { put_type(1, type, unit); }

// Locations are numbered by their address: that of the call, not of the return behind it.
bool PprofWriter::sample(std::span<const std::uintptr_t> frames, std::span<const std::int64_t> values, std::span<const Label> labels) {
  if (!sites_.has_room_for(frames.size())) return false;  // many were added since they were counted
  Message locations, numbers, whole;
  for (const std::uintptr_t frame : frames) {
    sites_.add(frame - 1);
    locations.varint(frame - 1);
  }
  for (const std::int64_t value : values) numbers.varint(static_cast<std::uint64_t>(value));
  whole.nested(1, locations);
  whole.nested(2, numbers);
  for (const Label& label : labels) {
    Message pair;
    pair.number(1, label.key);
    pair.number(2, label.text);
    whole.nested(3, pair);
  }
  whole.put_as(2, out_);
  return true;
}

// 0: nobody knows its name.
std::uint64_t PprofWriter::put_function(std::string_view name) {
  if (name.empty()) return 0;
  const std::uint64_t text = string(name);
  Message message;
  message.number(1, ++functions_);
  message.number(2, text);
  message.number(3, text);  // the linker's name: tools make a readable one of it
  message.put_as(5, out_);
  return functions_;
}

void PprofWriter::put_location(std::uintptr_t site, std::uint64_t function) {
  Message message, line;
  message.number(1, site);
  for (std::size_t i = 0; i < mappings_; ++i)
    if (site >= mapping_[i].start && site < mapping_[i].end) message.number(2, i + 1);
  message.number(3, site);
  line.number(1, function);
  if (function != 0) message.nested(4, line);
  message.put_as(4, out_);
}

// Mappings, functions and locations.
void PprofWriter::put_code() {
  Symbols symbols(sites_.size());
  if (symbols.is_usable()) {
    sites_.for_each([&](std::uintptr_t site) { symbols.add(site); });
    symbols.resolve();
  }
  struct State { PprofWriter& to; const Symbols& symbols; } state{*this, symbols};
  dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* data) {
    const auto& s = *static_cast<State*>(data);
    MappingWriter(s.to, *info, s.symbols).write();
    return 0;
  }, &state);
  if (!symbols.is_usable()) return sites_.for_each([this](std::uintptr_t site) { put_location(site, 0); });
  std::string_view newest;
  std::uint64_t function = 0;
  symbols.for_each([&](std::uintptr_t site, std::string_view name) {  // by address, so calls of one function follow each other
    if (name.empty() || name.data() != newest.data()) function = put_function(name);
    newest = name;
    put_location(site, function);
  });
}

void PprofWriter::finish(const Period& period, const char* drop_frames) {
  put_code();
  put_type(11, period.type, period.unit);
  put_number(7, string(drop_frames));
  put_number(9, os::wall_ns());
  put_number(12, period.value);
}

}  // namespace lull::sample

#include "debug/heap_profile.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "alloc/sample/output.h"
#include "debug/types.h"
#include "gc/report/text_writer.h"
#include "lull/profile.h"

namespace lull::debug {
namespace {

class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("lull-profile", MFD_CLOEXEC)) {}
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  std::string contents() const {
    std::string text(static_cast<std::size_t>(std::max<off_t>(::lseek(fd_, 0, SEEK_END), 0)), '\0');
    std::size_t done = 0;
    for (ssize_t n = 1; n > 0 && done < text.size(); done += static_cast<std::size_t>(std::max<ssize_t>(n, 0)))
      n = ::pread(fd_, text.data() + done, text.size() - done, static_cast<off_t>(done));
    text.resize(done);
    return text;
  }

 private:
  const int fd_;
};

// A protobuf message.
class Message {
 public:
  Message& number(std::uint32_t field, std::uint64_t value) { return varint(field << 3).varint(value); }
  Message& bytes(std::uint32_t field, std::string_view value) {
    varint(field << 3 | 2).varint(value.size());
    text_ += value;
    return *this;
  }
  Message& packed(std::uint32_t field, std::initializer_list<std::uint64_t> values) {
    Message all;
    for (std::uint64_t v : values) all.varint(v);
    return bytes(field, all.text_);
  }
  const std::string& text() const { return text_; }

 private:
  Message& varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
    return *this;
  }
  std::string text_;
};

// profile.proto's fields. The order of the sample types is that of alloc/sample/pprof.cc.
constexpr std::uint32_t kSample = 2, kLocation = 4, kFunction = 5, kString = 6, kDefaultType = 14;

// What of a profile's string table matters to who adds to it.
struct Strings {
  std::uint64_t count = 0, alloc_space = 0;  // alloc_space: the index of that text
};

// A profile consists of fields with a length, and of numbers.
Strings strings_of(std::string_view profile) {
  const auto take = [&profile] {
    std::uint64_t value = 0;
    for (unsigned shift = 0; !profile.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(profile.front());
      profile.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  Strings strings;
  while (!profile.empty()) {
    const std::uint64_t key = take(), value = take();
    if ((key & 7) != 2) continue;
    if (key >> 3 == kString) {
      if (profile.substr(0, value) == "alloc_space") strings.alloc_space = strings.count;
      ++strings.count;
    }
    profile.remove_prefix(std::min<std::size_t>(value, profile.size()));
  }
  return strings;
}

// The bytes in a gzip frame of stored blocks, as alloc/sample/output.cc writes it.
std::string unpack(std::string_view gzip) {
  constexpr std::size_t kHeader = 10, kBlockHeader = 5;
  std::string out;
  for (std::size_t at = kHeader; at + kBlockHeader <= gzip.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(gzip[at + i]); };
    const std::size_t n = byte(1) | std::size_t{byte(2)} << 8;
    out += gzip.substr(at + kBlockHeader, n);
    if (byte(0) & 1) break;
    at += kBlockHeader + n;
  }
  return out;
}

// Above the numbers that the profile of stacks gives to its functions and locations: those are addresses, or few.
constexpr std::uint64_t kFirstId = std::uint64_t{1} << 60;

// Samples by type, to be appended to a profile with so many strings: a protobuf message is its parts, one behind the other.
Message profile_of_types(std::uint64_t strings, std::span<const type_stats> types) {
  Message out;
  const auto add_frame = [&](std::uint64_t id, std::string_view name) {
    Message function, line, location;
    function.number(1, id).number(2, strings++);
    line.number(1, id);
    location.number(1, id).bytes(4, line.text());
    out.bytes(kString, name).bytes(kFunction, function.text()).bytes(kLocation, location.text());
  };
  std::uint64_t id = kFirstId;
  add_frame(id, "managed objects, by type");
  for (const type_stats& t : types) {
    if (t.mallocs == 0) continue;
    add_frame(++id, t.name);
    Message sample;
    sample.packed(1, {id, kFirstId}).packed(2, {t.mallocs, t.total_bytes, t.mallocs - t.frees, t.bytes});
    out.bytes(kSample, sample.text());
  }
  return out;
}

}  // namespace

std::string heap_profile(ProfileView view) {
  const MemoryFile file;
  if (file.fd() < 0 || lull_profile_write_fd(file.fd(), LULL_PROFILE_PPROF) != 0) return {};
  const Strings strings = strings_of(unpack(file.contents()));
  Message more = profile_of_types(strings.count, largest_types(kMostTypes));
  if (view == ProfileView::allocated) more.number(kDefaultType, strings.alloc_space);
  sample::Output out(file.fd(), sample::Framing::gzip);  // a second member: readers of gzip put them together
  out.put(more.text().data(), more.text().size());
  return out.finish() ? file.contents() : std::string();
}

std::string heap_profile_text() {
  std::string text;
  {
    gc::TextWriter out({[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &text});
    out << "managed objects: bytes in use, objects in use, bytes allocated, objects allocated, type\n";
    for (const type_stats& t : largest_types(kMostTypes))
      out << t.bytes << ' ' << t.mallocs - t.frees << ' ' << t.total_bytes << ' ' << t.mallocs << ' ' << t.name << '\n';
    out << "\nsampled blocks of malloc\n";
  }
  const MemoryFile file;
  if (file.fd() >= 0 && lull_profile_write_fd(file.fd(), LULL_PROFILE_TEXT) == 0) text += file.contents();
  return text;
}

}  // namespace lull::debug

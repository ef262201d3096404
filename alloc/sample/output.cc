#include "alloc/sample/output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace lull::sample {
namespace {

constexpr auto kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    table[i] = crc;
  }
  return table;
}();

void store_little_endian(unsigned char* at, std::uint32_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) at[i] = static_cast<unsigned char>(value >> (8 * i));
}

constexpr unsigned char kHeader[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};  // deflate, no name, no time

}  // namespace

Output::Output(int fd, Framing framing) : fd_(fd), framing_(framing) {
  if (framing_ == Framing::gzip) write_all(kHeader, sizeof kHeader);
}

Output::Output(const text_sink& to, Framing framing) : fd_(-1), to_(to), framing_(framing) {
  if (framing_ == Framing::gzip) write_all(kHeader, sizeof kHeader);
}

void Output::put(const void* bytes, std::size_t n) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  while (n > 0) {
    const std::size_t part = std::min(n, kBuffer - used_);
    std::memcpy(buffer_ + used_, at, part);
    used_ += part;
    at += part;
    n -= part;
    if (used_ == kBuffer) flush();
  }
}

void Output::put_text(const char* text) { put(text, std::strlen(text)); }

void Output::put_line(const char* format, ...) {
  char line[200];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  put(line, std::min(static_cast<std::size_t>(std::max(length, 0)), sizeof line - 1));
}

void Output::put_varint(std::uint64_t value) {
  unsigned char bytes[10];
  std::size_t n = 0;
  for (; value >= 0x80; value >>= 7) bytes[n++] = static_cast<unsigned char>(value | 0x80);
  bytes[n++] = static_cast<unsigned char>(value);
  put(bytes, n);
}

void Output::flush() {
  if (framing_ == Framing::gzip && used_ > 0) {
    unsigned char header[5] = {0};  // a stored block that is not the last
    const auto length = static_cast<std::uint32_t>(used_);
    store_little_endian(header + 1, length, 2);
    store_little_endian(header + 3, ~length, 2);
    write_all(header, sizeof header);
    for (std::size_t i = 0; i < used_; ++i) crc_ = crc_ >> 8 ^ kCrcTable[(crc_ ^ buffer_[i]) & 0xff];
    bytes_ += length;
  }
  write_all(buffer_, used_);
  used_ = 0;
}

void Output::write_all(const void* bytes, std::size_t n) {
  const auto* at = static_cast<const char*>(bytes);
  if (to_.put != nullptr) return to_.put(to_.context, at, n);
  while (n > 0 && error_ == 0) {
    const ssize_t written = ::write(fd_, at, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error_ = written < 0 ? errno : EIO;
      return;
    }
    at += written;
    n -= static_cast<std::size_t>(written);
  }
}

bool Output::finish() {
  flush();
  if (framing_ == Framing::gzip) {
    unsigned char end[13] = {1, 0, 0, 0xff, 0xff};  // the last block, empty; checksum; length
    store_little_endian(end + 5, ~crc_, 4);
    store_little_endian(end + 9, bytes_, 4);
    write_all(end, sizeof end);
  }
  if (error_ != 0) errno = error_;
  return error_ == 0;
}

}  // namespace lull::sample

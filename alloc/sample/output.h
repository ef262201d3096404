// A file, or somebody's text_sink, that is written piece by piece through one buffer, plain or as a gzip stream. The stream is stored, not compressed:
// readers of profiles want the frame, and the profile of a large program is some hundred kilobytes. Allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/text_sink.h"

namespace lull::sample {

enum class Framing : std::uint8_t { plain, gzip };

class Output {
 public:
  Output(int fd, Framing framing);
  Output(const text_sink& to, Framing framing);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void put(const void* bytes, std::size_t n);
  void put_text(const char* text);
  [[gnu::format(printf, 2, 3)]] void put_line(const char* format, ...);  // cut off after 200 characters
  void put_varint(std::uint64_t value);
  // The last step. False: something could not be written; errno says why.
  [[nodiscard]] bool finish();

 private:
  static constexpr std::size_t kBuffer = 16 * 1024;  // less than the 64 KiB a stored block may have
  void flush();
  void write_all(const void* bytes, std::size_t n);

  const int fd_;
  const text_sink to_{};  // without a file
  const Framing framing_;
  int error_ = 0;
  std::uint32_t crc_ = ~std::uint32_t{0};
  std::uint32_t bytes_ = 0;  // mod 2^32, as gzip wants it
  std::size_t used_ = 0;
  unsigned char buffer_[kBuffer];
};

}  // namespace lull::sample

// Where functions that write text put it: a callback, or a buffer of the caller's. No allocation, no streams.
#pragma once

#include <cstddef>
#include <cstring>

namespace lull {

struct text_sink {
  void (*put)(void* context, const char* text, std::size_t size) = nullptr;
  void* context = nullptr;
};

// Runs write(sink) into a buffer: keeps what fits, ended by a 0, and returns the length of the whole text, like snprintf.
template <class Write>
std::size_t write_to_buffer(char* buffer, std::size_t size, Write&& write) {
  struct Buffer {
    char* at;
    std::size_t size, length;
  } to{buffer, size, 0};
  text_sink sink{[](void* context, const char* text, std::size_t n) {
                   auto& b = *static_cast<Buffer*>(context);
                   const std::size_t room = b.length < b.size ? b.size - b.length : 0;
                   if (room != 0) std::memcpy(b.at + b.length, text, n < room ? n : room);
                   b.length += n;
                 },
                 &to};
  write(sink);
  if (size != 0) buffer[to.length < size ? to.length : size - 1] = '\0';
  return to.length;
}

}  // namespace lull

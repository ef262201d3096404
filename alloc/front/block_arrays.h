// The arrays in which bins keep their free blocks: a power of two of pointers each, from the library's own records. One that
// a bin outgrew waits for the next bin that wants its size. Thread-safe; called in visits.
#pragma once

#include <cstdint>

namespace lull::front {

struct Block;

inline constexpr std::uint32_t kShortestArray = 16;  // pointers; larger is memory of idle threads
inline constexpr std::uint32_t kLongestArray = 2048;

// At least `wanted` <= kLongestArray - 1 places behind a null; their number in `room`. nullptr when memory runs out.
[[nodiscard]] Block** take_block_array(std::uint32_t wanted, std::uint32_t& room);
void give_block_array(Block** array, std::uint32_t room);

}  // namespace lull::front

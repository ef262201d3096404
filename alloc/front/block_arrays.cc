#include "alloc/front/block_arrays.h"

#include <bit>

#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"

namespace lull::front {
namespace {

constexpr std::uint32_t number_of(std::uint32_t pointers) {
  return static_cast<std::uint32_t>(std::countr_zero(pointers / kShortestArray));
}

constinit os::Lock lock{os::LockRank::central};  // taken in visits only: a fork finds it free
constinit Block** free_arrays[number_of(kLongestArray) + 1] = {};  // lock; by size; linked through their second pointer

}  // namespace

Block** take_block_array(std::uint32_t wanted, std::uint32_t& room) {
  const std::uint32_t pointers = std::bit_ceil(wanted + 1 < kShortestArray ? kShortestArray : wanted + 1);
  room = pointers - 1;
  const os::Locked locked(lock);
  Block**& first = free_arrays[number_of(pointers)];
  if (Block** array = first) {
    first = reinterpret_cast<Block**>(array[0]);
    return array;
  }
  auto* fresh = static_cast<Block**>(os::allocate_meta(pointers * sizeof(Block*)));
  return fresh == nullptr ? nullptr : fresh + 1;
}

void give_block_array(Block** array, std::uint32_t room) {
  if (array == nullptr) return;
  const os::Locked locked(lock);
  Block**& first = free_arrays[number_of(room + 1)];
  array[0] = reinterpret_cast<Block*>(first);
  first = array;
}

}  // namespace lull::front

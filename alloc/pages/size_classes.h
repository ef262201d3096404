// Size classes for objects whose size is only known at run time: steps of 16 bytes up to 256, then eight classes per
// doubling up to 32 KiB. Internal waste: at most 16 bytes up to 256, 12.5 % above. Types of fixed size do not come
// here: a managed span holds one type, so its slots have that type's size exactly.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lull::pages {

inline constexpr std::size_t kSlotAlignment = 16;
inline constexpr std::uint32_t kFineClasses = 16;       // 16, 32, ... 256
inline constexpr std::uint32_t kDoublings = 7;          // up to 512, 1024, ... 32768
inline constexpr std::uint32_t kSizeClasses = kFineClasses + kDoublings * 8;

// 0 < bytes <= 32 KiB.
constexpr std::uint32_t size_class_of(std::size_t bytes) {
  if (bytes <= 256) return static_cast<std::uint32_t>((bytes + 15) / 16 - 1);
  const auto doubling = static_cast<std::uint32_t>(std::bit_width(bytes - 1)) - 9;  // 0 for (256, 512]
  const std::size_t step = std::size_t{32} << doubling;
  const std::size_t above = bytes - (std::size_t{256} << doubling);
  return kFineClasses + doubling * 8 + static_cast<std::uint32_t>((above + step - 1) / step) - 1;
}

constexpr std::size_t size_of_class(std::uint32_t size_class) {
  if (size_class < kFineClasses) return (size_class + 1) * std::size_t{16};
  const std::uint32_t doubling = (size_class - kFineClasses) / 8, step = (size_class - kFineClasses) % 8 + 1;
  return (std::size_t{256} << doubling) + step * (std::size_t{32} << doubling);
}

namespace size_class_checks {
constexpr bool classes_are_tight() {
  for (std::uint32_t c = 0; c < kSizeClasses; ++c) {
    if (size_class_of(size_of_class(c)) != c) return false;
    if (c + 1 < kSizeClasses && size_class_of(size_of_class(c) + 1) != c + 1) return false;
    if (size_of_class(c) % kSlotAlignment != 0) return false;
  }
  return size_of_class(kSizeClasses - 1) == 32 * 1024;
}
static_assert(classes_are_tight());
}  // namespace size_class_checks

}  // namespace lull::pages

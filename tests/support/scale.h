// Sizes of tests under sanitizers, which run five to twenty times slower.
#pragma once

namespace lull::testing {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true, kAddressSanitizer = false;
inline constexpr int kSlowdown = 20;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr bool kThreadSanitizer = false, kAddressSanitizer = true;
inline constexpr int kSlowdown = 5;
#else
inline constexpr bool kThreadSanitizer = false, kAddressSanitizer = false;
inline constexpr int kSlowdown = 1;
#endif

// `n` iterations of something, fewer where each takes longer.
constexpr int scaled(int n) { return n / kSlowdown > 0 ? n / kSlowdown : 1; }

}  // namespace lull::testing

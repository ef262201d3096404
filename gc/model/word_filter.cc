#include "gc/model/word_filter.h"

#include <bit>

#if defined(__SANITIZE_THREAD__)
#define LULL_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LULL_THREAD_SANITIZER 1
#endif
#endif

// ThreadSanitizer sees vector loads as plain ones that race with the program's stores; word by word they are atomic.
#if defined(__x86_64__) && !defined(LULL_THREAD_SANITIZER)
#define LULL_VECTOR_FILTERS 1
#endif

#ifdef LULL_VECTOR_FILTERS
#include <immintrin.h>
#endif

#ifdef LULL_THREAD_SANITIZER
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace lull::gc {

namespace {

// A scan may read an object while the program constructs it with plain stores: what it sees of a word is a guess, and what the
// word becomes is shaded or born during the cycle. ThreadSanitizer shall not take that for a race; it still sees the acquire.
class [[maybe_unused]] GuessingReads {
 public:
#ifdef LULL_THREAD_SANITIZER
  GuessingReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~GuessingReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
  GuessingReads(const GuessingReads&) = delete;
  GuessingReads& operator=(const GuessingReads&) = delete;
#endif
};

}  // namespace

std::size_t filter_words(const std::uintptr_t* words, std::size_t count, std::uintptr_t* out, const detail::HeapRange& range) {
  const std::uintptr_t base = range.base;
  const std::size_t size = range.size;
  std::size_t kept = 0;
  [[maybe_unused]] GuessingReads guessing;
  for (std::size_t i = 0; i < count; ++i) {
    // acquire: pairs with the release in detail::store_word
    const std::uintptr_t word = __atomic_load_n(words + i, __ATOMIC_ACQUIRE);
    out[kept] = word;
    kept += word - base < size;
  }
  return kept;
}

#ifdef LULL_VECTOR_FILTERS
namespace {

// Aligned words inside a vector load are read whole on every x86 processor, and loads are not reordered with each other,
// which is all that the scalar form's acquire asks for.
__attribute__((target("avx512f,avx512vl,popcnt"))) std::size_t filter_avx512(const std::uintptr_t* words, std::size_t count,
                                                                             std::uintptr_t* out, const detail::HeapRange& range) {
  const __m512i base = _mm512_set1_epi64(static_cast<long long>(range.base));
  const __m512i size = _mm512_set1_epi64(static_cast<long long>(range.size));
  std::uintptr_t* at = out;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m512i v = _mm512_loadu_si512(words + i);
    const __mmask8 in = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(v, base), size);
    _mm512_storeu_si512(at, _mm512_maskz_compress_epi64(in, v));
    at += std::popcount(static_cast<unsigned>(in));
  }
  if (i == count) return static_cast<std::size_t>(at - out);
  // Half vectors for the rest: a whole one would touch the cache line behind a small object.
  const __m256i base4 = _mm256_set1_epi64x(static_cast<long long>(range.base));
  const __m256i size4 = _mm256_set1_epi64x(static_cast<long long>(range.size));
  for (; i < count; i += 4) {
    const auto some = static_cast<__mmask8>(count - i >= 4 ? 15u : (1u << (count - i)) - 1);
    const __m256i v = _mm256_maskz_loadu_epi64(some, words + i);
    const __mmask8 in = _mm256_mask_cmplt_epu64_mask(some, _mm256_sub_epi64(v, base4), size4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_maskz_compress_epi64(in, v));
    at += std::popcount(static_cast<unsigned>(in));
  }
  return static_cast<std::size_t>(at - out);
}

// For each set of four words: the 32-bit lanes that move the chosen ones to the front.
struct CompressTable {
  alignas(32) std::uint32_t lanes[16][8];
  constexpr CompressTable() : lanes{} {
    for (std::uint32_t mask = 0; mask < 16; ++mask)
      for (std::uint32_t word = 0, to = 0; word < 4; ++word)
        if (mask >> word & 1) {
          lanes[mask][to++] = word * 2;
          lanes[mask][to++] = word * 2 + 1;
        }
  }
};
constexpr CompressTable compress;

__attribute__((target("avx2,popcnt"))) std::size_t filter_avx2(const std::uintptr_t* words, std::size_t count, std::uintptr_t* out,
                                                               const detail::HeapRange& range) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;  // AVX2 compares signed numbers only
  const __m256i shift = _mm256_set1_epi64x(static_cast<long long>(range.base ^ sign));  // adding and flipping the top bit are the same
  const __m256i end = _mm256_set1_epi64x(static_cast<long long>(range.size ^ sign));
  std::uintptr_t* at = out;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i));
    const __m256i in = _mm256_cmpgt_epi64(end, _mm256_sub_epi64(v, shift));
    const auto mask = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(in)));
    const __m256i lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(compress.lanes[mask]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_permutevar8x32_epi32(v, lanes));
    at += std::popcount(mask);
  }
  return static_cast<std::size_t>(at - out) + filter_words(words + i, count - i, at, range);
}

}  // namespace

WordFilter filter_words_avx2() { return __builtin_cpu_supports("avx2") ? filter_avx2 : nullptr; }
WordFilter filter_words_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") ? filter_avx512 : nullptr;
}
#else
WordFilter filter_words_avx2() { return nullptr; }
WordFilter filter_words_avx512() { return nullptr; }
#endif

WordFilter best_word_filter() {
  if (const WordFilter f = filter_words_avx512()) return f;
  if (const WordFilter f = filter_words_avx2()) return f;
  return filter_words;
}

}  // namespace lull::gc

// Blocks of less than a cache line that lie side by side should not come to be used by two threads: each write to one would
// take the line from the other thread's processor (false sharing). A thread takes such blocks from a span that it holds alone,
// so they begin together; but a thread that frees a few blocks of another one should not hand them out again itself (passive
// false sharing). It keeps these strangers apart and gives them back to their spans.
//
// To be told by free(), the pages of these spans carry a mark, the highest four bits of their entries: which thread took
// blocks from the span last. There are four marks, so of many threads some share one: then two threads may come to share
// lines, nothing else. The marks are hints: they change while other threads read them.
//
// A program that hands much from thread to thread loses more by giving back than by the odd shared line: a block that was just
// freed is in the processor's cache, and the best one to hand out. So a thread that met kManyStrangers looks away for a while.
#pragma once

#include "alloc/front/block_sizes.h"
#include "alloc/pages/span.h"

namespace lull::front {

using EntryMark = std::uint32_t;  // bits of a page's entry

inline constexpr std::uint32_t kMarks = 4, kFirstMark = 12;
inline constexpr EntryMark kAllMarks = ((1u << kMarks) - 1) << kFirstMark;
inline constexpr std::size_t kLine = 64;
inline constexpr std::uint32_t kManyStrangers = 32;   // more: later to see that much is handed over
inline constexpr std::uint32_t kLookAway = 64;        // fetched magazines; less: strangers cost more where much is handed over

constexpr EntryMark mark_number(std::uint32_t thread) { return 1u << (kFirstMark + thread % kMarks); }
constexpr bool is_marked(std::uint32_t bin) { return bytes_of_bin(bin) < kLine; }

// The caller holds the span.
inline void mark_pages(const pages::Span& span, EntryMark mark) {
  auto* entries = pages::reservation.classes + span.first_page().value;
  for (std::uint32_t p = 0; p < span.page_count; ++p) {
    const pages::PageClass entry = entries[p].load(std::memory_order_relaxed);
    const auto marked = static_cast<pages::PageClass>((static_cast<std::uint32_t>(entry) & ~kAllMarks) | mark);
    // release: as publish() of span_table.cc, whose entry this replaces
    if (entry != marked) entries[p].store(marked, std::memory_order_release);
  }
}

}  // namespace lull::front

// Blocks that share a cache line should not come to be used by two threads: each write to one would
// take the line from the other thread's processor (false sharing). A thread takes blocks of less than a line from a span that it holds alone,
// and larger ones from spans of its home, so they begin together; but a thread that frees blocks of another one should not hand them out again itself (passive
// false sharing). It keeps these strangers apart and sends them back (strangers.h).
//
// To be told by free(), the pages of these spans carry a mark, the highest bits of their entries: which thread took
// blocks from the span last. There are three marks, so of many threads some share one: then two threads may come to share
// lines, nothing else. The marks are hints: they change while other threads read them.
//
// Where nearly all that a thread frees is another's, it loses more by sending back than by the odd shared line: a block that was just
// freed is in the processor's cache, and the best one to hand out. So a thread that met kManyStrangers in no time looks away for a while.
//
// One more mark says that a span is sparse: the purger found it idle and at least three quarters free. A block that is freed there goes
// back to the span instead of being handed out again at once, or the few objects of a heap that has shrunk stay spread over
// all of its pages for ever: each new object would take the place of one that has just died. Blocks come from spans that
// are filled from end to end, so the sparse ones empty and their pages go back. Who takes blocks from a span unmarks it.
#pragma once

#include "alloc/front/block_sizes.h"
#include "alloc/pages/span.h"

namespace lull::front {

using EntryMark = std::uint32_t;  // bits of a page's entry

inline constexpr std::uint32_t kMarks = 3, kFirstMark = 12;
inline constexpr EntryMark kThreadMarks = ((1u << kMarks) - 1) << kFirstMark, kSparseMark = 1u << (kFirstMark + kMarks);
inline constexpr std::size_t kLine = 64;
inline constexpr std::uint32_t kManyStrangers = 32;   // a parcel of them; more: memory that waits, fewer: parcels
inline constexpr std::uint32_t kLookAway = 64;        // fetched magazines; less: strangers cost more where much is handed over

constexpr EntryMark mark_number(std::uint32_t thread) { return 1u << (kFirstMark + thread % kMarks); }
// Marks of pages whose blocks a thread does not hand out again, when it looks at its neighbours and when it does not.
constexpr EntryMark foreign_to(EntryMark own) { return (kThreadMarks & ~own) | kSparseMark; }
inline constexpr EntryMark kForeignToAll = kSparseMark;
constexpr bool share_lines(std::uint32_t bin) { return bytes_of_bin(bin) < kLine; }  // all of them do
constexpr bool is_marked(std::uint32_t bin) { return bytes_of_bin(bin) < 4 * kLine; }  // larger: lines at the edges are too few to matter

inline bool is_sparse(PageIndex first_page) {
  const pages::PageClass entry = pages::reservation.classes[first_page.value].load(std::memory_order_relaxed);
  return (static_cast<std::uint32_t>(entry) & kSparseMark) != 0;
}
inline bool is_sparse(const pages::Span& span) { return is_sparse(span.first_page()); }
// The caller holds the span, or has blocks of it.
inline void mark_pages(const pages::Span& span, EntryMark mark) {
  auto* entries = pages::reservation.classes + span.first_page().value;
  for (std::uint32_t p = 0; p < span.page_count; ++p) {
    const pages::PageClass entry = entries[p].load(std::memory_order_relaxed);
    const auto marked = static_cast<pages::PageClass>((static_cast<std::uint32_t>(entry) & ~(kThreadMarks | kSparseMark)) | mark);
    // release: as publish() of span_table.cc, whose entry this replaces
    if (entry != marked) entries[p].store(marked, std::memory_order_release);
  }
}

}  // namespace lull::front

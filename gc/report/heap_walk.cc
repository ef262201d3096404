// Every reachable object is met once: by the word that reaches it first, it gets a bit and a place on the stack of objects
// whose references are still to be written. What a word means is decided as the marker does (gc/model/colour.h), but an object
// must lie there: the hole that a thread is filling has no alloc bits yet, so it is noted beforehand.
#include "gc/report/heap_walk.h"

#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "alloc/os/clock.h"
#include "alloc/os/vm.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/frames.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/fibers.h"
#include "gc/mutator/roots.h"
#include "gc/report/page_stack.h"
#include "gc/weak/cleanups.h"
#include "gc/weak/destructors.h"
#include "lull/tracer.h"

namespace lull::gc {
namespace {

constexpr std::size_t kGranule = 16;  // objects are aligned to it

// A bit for each place an object can begin at.
class ObjectBits {
 public:
  bool initialise() {
    bytes_ = round_up((std::uintptr_t{pages::heap_end().value} << kPageShift) / kGranule / 8 + 1, 4096);
    words_ = static_cast<std::uint64_t*>(os::map(bytes_));
    return words_ != nullptr;
  }
  ~ObjectBits() {
    if (words_ != nullptr) os::unmap(words_, bytes_);
  }
  bool contains(std::uintptr_t object) const { return (word_of(object) & mask_of(object)) != 0; }
  void add(std::uintptr_t object) { word_of(object) |= mask_of(object); }

 private:
  static std::size_t index_of(std::uintptr_t object) { return (object - detail::heap_range.base) / kGranule; }
  std::uint64_t& word_of(std::uintptr_t object) const { return words_[index_of(object) / 64]; }
  static std::uint64_t mask_of(std::uintptr_t object) { return std::uint64_t{1} << index_of(object) % 64; }

  std::uint64_t* words_ = nullptr;
  std::size_t bytes_ = 0;
};

// The numbers of kinds in the file.
class KindTable {
 public:
  struct Entry {
    const Kind* kind;
    std::uint64_t number;               // from 1; 0: not written yet
    std::uint64_t objects, bytes;       // allocated, reachable or not
  };
  bool initialise() {
    entries_ = static_cast<Entry*>(os::map(kEntries * sizeof(Entry)));
    return entries_ != nullptr;
  }
  ~KindTable() {
    if (entries_ != nullptr) os::unmap(entries_, kEntries * sizeof(Entry));
  }
  // nullptr when the table is full.
  Entry* find(const Kind& kind) {
    std::size_t i = (reinterpret_cast<std::uintptr_t>(&kind) >> 4) * 0x9e3779b97f4a7c15u >> (64 - kBits);
    for (std::size_t tries = 0; tries < kEntries; ++tries, i = (i + 1) % kEntries) {
      if (entries_[i].kind == nullptr) entries_[i].kind = &kind;
      if (entries_[i].kind == &kind) return &entries_[i];
    }
    return nullptr;
  }
  template <class Visit>
  void for_each(Visit&& visit) {
    for (std::size_t i = 0; i < kEntries; ++i)
      if (entries_[i].kind != nullptr) visit(entries_[i]);
  }

 private:
  static constexpr unsigned kBits = 16;
  static constexpr std::size_t kEntries = std::size_t{1} << kBits;
  Entry* entries_ = nullptr;
};

enum class RootKind : std::uint8_t { cell, stack, destructor, callback, function };

class HeapWriter : private tracer {
 public:
  HeapWriter(sample::Output& out, heap_dump_info& info) : out_(out), info_(info) {
    next_ = words_;
    end_ = words_ + kWords;
    flush_ = [](tracer& t) { static_cast<HeapWriter&>(t).write_references(); };
    ephemeron_ = [](tracer& t, const std::uintptr_t* key, const std::uintptr_t* value) {
      static_cast<HeapWriter&>(t).defer({*key, *value, static_cast<HeapWriter&>(t).object_});
    };
  }

  bool write(int process) {
    failed_ = !seen_.initialise() || !in_hole_.initialise() || !kinds_.initialise();
    if (failed_) return false;
    note_holes();
    write_header();
    write_roots(process);
    do write_objects();
    while (!failed_ && take_ephemerons());
    write_totals();
    return !failed_;
  }

 private:
  static constexpr std::size_t kWords = 256;
  struct Ephemeron {
    std::uintptr_t key, value, cell;
  };

  void note_holes() {
    for_each_mutator([&](Mutator& m) {
      m.cache.for_each_cached_span([&](Span& span, std::uint32_t first, std::uint32_t end) {
        for (std::uint32_t slot = first; slot < end; ++slot) in_hole_.add(span.slot_address(slot));
      });
    });
  }

  ObjectRef object_at(std::uintptr_t word) const {
    const ObjectRef o = resolve(word);
    if (!o) return {};
    const bool allocated = (o.span->alloc_bits()[o.slot / 64].load(std::memory_order_relaxed) & bit_of(o.slot)) != 0;
    return allocated || in_hole_.contains(o.address()) ? o : ObjectRef{};
  }

  // The address of the object the word refers to, which is on its way into the file from now on; 0: it refers to none.
  std::uintptr_t reach(std::uintptr_t word) {
    const ObjectRef o = object_at(word);
    if (!o) return 0;
    const std::uintptr_t object = o.address();
    if (!seen_.contains(object)) {
      seen_.add(object);
      failed_ |= !to_write_.push(object);
    }
    return object;
  }

  // Addresses are written as multiples of 8 from the heap's base.
  static std::uint64_t unit_of(std::uintptr_t object) { return (object - detail::heap_range.base) / 8; }
  void put_difference(std::uint64_t now, std::uint64_t before) {
    const auto difference = static_cast<std::int64_t>(now - before);
    out_.put_varint(static_cast<std::uint64_t>(difference) << 1 ^ static_cast<std::uint64_t>(difference >> 63));
  }
  void put_tag(char tag) { out_.put(&tag, 1); }
  void put_string(std::string_view text) {
    out_.put_varint(text.size());
    out_.put(text.data(), text.size());
  }

  void write_header() {
    out_.put_text("lull heap dump 1\n");
    out_.put_varint(detail::heap_range.base);
    out_.put_varint(os::wall_ns());
    out_.put_varint(current_cycle.load(std::memory_order_relaxed));
  }

  void write_roots(int process) {
    for (RootChunk* chunk = first_root_chunk(); chunk != nullptr; chunk = chunk->next)
      for (std::uintptr_t& cell : chunk->cells) write_root(RootKind::cell, reinterpret_cast<std::uintptr_t>(&cell), cell);
    call_root_functions(*this);
    write_references();
    for_each_mutator([&](Mutator& m) { write_stack(process, m); });
    write_parked_stacks();
    for_each_queued([](void* w, std::uintptr_t object) { static_cast<HeapWriter*>(w)->write_root(RootKind::destructor, 0, object); }, this);
    for_each_callback([](void* w, std::uintptr_t callback) { static_cast<HeapWriter*>(w)->write_root(RootKind::callback, 0, callback); }, this);
  }
  void write_root(RootKind kind, std::uint64_t where, std::uintptr_t word) {
    const std::uintptr_t object = reach(word);
    if (object == 0) return;
    ++info_.roots;
    put_tag('R');
    out_.put_varint(static_cast<std::uint64_t>(kind));
    out_.put_varint(where);
    out_.put_varint(unit_of(object));
  }

  void write_stack(int process, Mutator& m) {
    write_thread(process, m.tid);
    m.words.clear();
    failed_ |= !copy_frames(m);
    if (options.precise_roots == 0) {
      if (m.stack.contains(m.blocked_sp)) failed_ |= !m.words.copy_range(m.blocked_sp, m.stack.high);
      failed_ |= !m.words.copy_range(reinterpret_cast<std::uintptr_t>(m.saved), reinterpret_cast<std::uintptr_t>(m.saved + m.saved_count));
    }
    if (m.current != &m.own) failed_ |= !copy_parked(m.own, m);
    for (std::uintptr_t word : m.words) write_root(RootKind::stack, static_cast<std::uint64_t>(m.tid), word);
    m.words.clear();
  }
  // As stacks of a thread with the number 0.
  void write_parked_stacks() {
    Mutator* const lender = mutators.first;
    for (std::uint32_t i = 0; lender != nullptr && i < fiber_stacks_end(); ++i) {
      const FiberStack& stack = fiber_stack_at(i);
      if (stack.state.load(std::memory_order_acquire) != StackState::parked) continue;
      lender->words.clear();
      failed_ |= !copy_parked(stack, *lender);
      for (std::uintptr_t word : lender->words) write_root(RootKind::stack, 0, word);
      lender->words.clear();
    }
  }
  void write_thread(int process, int tid) {
    char path[64], name[32];
    std::snprintf(path, sizeof path, "/proc/%d/task/%d/comm", process, tid);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : ::read(fd, name, sizeof name);
    if (fd >= 0) ::close(fd);
    put_tag('S');
    out_.put_varint(static_cast<std::uint64_t>(tid));
    put_string({name, n > 0 ? static_cast<std::size_t>(n) - 1 : 0});  // without the newline
  }

  std::uint64_t number_of(const Kind& kind) {
    KindTable::Entry* entry = kinds_.find(kind);
    if (entry == nullptr) return 0;
    if (entry->number == 0) {
      entry->number = ++kinds_written_;
      put_tag('K');
      out_.put_varint(entry->number);
      out_.put_varint(static_cast<std::uint64_t>(kind.layout));
      put_string(kind.name);
    }
    return entry->number;
  }

  void write_objects() {
    while (!to_write_.empty() && !failed_) write_object(to_write_.pop());
  }
  void write_object(std::uintptr_t object) {
    const Span& span = *pages::managed_span_of(object);
    const Kind& kind = kind_of(span);
    const std::uint64_t number = number_of(kind);
    put_tag('O');
    out_.put_varint(number);
    put_difference(unit_of(object), last_unit_);
    out_.put_varint(span.slot_bytes);
    object_ = object;
    last_unit_ = unit_of(object);
    ++info_.objects;
    info_.bytes += span.slot_bytes;
    visit_references(kind, span);
    write_references();
    out_.put_varint(0);
  }
  void visit_references(const Kind& kind, const Span& span) {
    if (kind.layout == detail::Layout::traced) return kind.trace(reinterpret_cast<const void*>(object_), *this);
    if (kind.layout == detail::Layout::no_pointers) return;
    for (std::uintptr_t at = object_; at < object_ + span.slot_bytes; at += sizeof(std::uintptr_t))
      visit(reinterpret_cast<const std::uintptr_t*>(at));
  }
  // A reference to itself is left out: 0 ends the list.
  void write_references() {
    const std::uintptr_t* end = next_;
    next_ = words_;
    for (const std::uintptr_t* w = words_; w != end; ++w) {
      if (object_ == 0) {
        write_root(RootKind::function, 0, *w);
        continue;
      }
      const std::uintptr_t to = *w == 0 ? 0 : reach(*w);
      if (to == 0 || to == object_) continue;
      ++info_.references;
      put_difference(unit_of(to), last_unit_);
    }
  }

  void defer(const Ephemeron& e) {
    if (object_at(e.key) && object_at(e.value)) failed_ |= !ephemerons_.push(e);
  }
  // The values of keys that are reachable. True: there is more to write. A chain of n ephemerons takes n rounds.
  bool take_ephemerons() {
    PageStack<Ephemeron>& waiting = ephemerons_waiting_;
    while (!ephemerons_.empty()) failed_ |= !waiting.push(ephemerons_.pop());
    while (!waiting.empty() && !failed_) {
      const Ephemeron e = waiting.pop();
      const std::uintptr_t key = object_at(e.key).address();
      if (seen_.contains(key)) write_ephemeron(e, key);
      else failed_ |= !ephemerons_.push(e);
    }
    return !to_write_.empty();
  }
  void write_ephemeron(const Ephemeron& e, std::uintptr_t key) {
    put_tag('E');
    out_.put_varint(unit_of(e.cell));
    out_.put_varint(unit_of(key));
    out_.put_varint(unit_of(reach(e.value)));
  }

  void write_totals() {
    pages::for_each_span([&](Span* span) {
      std::uint64_t objects = 0;
      for (std::uint32_t w = 0; w < span->words; ++w) objects += count_bits(span->alloc_bits()[w].load(std::memory_order_relaxed));
      add_total(*span, objects);
    });
    for_each_mutator([&](Mutator& m) {
      m.cache.for_each_cached_span([&](Span& span, std::uint32_t first, std::uint32_t end) { add_total(span, end - first); });
    });
    kinds_.for_each([&](KindTable::Entry& entry) {
      const std::uint64_t number = number_of(*entry.kind);
      put_tag('T');
      out_.put_varint(number);
      out_.put_varint(entry.objects);
      out_.put_varint(entry.bytes);
    });
    put_tag('Z');
    out_.put_varint(info_.objects);
    out_.put_varint(info_.bytes);
  }
  void add_total(const Span& span, std::uint64_t objects) {
    KindTable::Entry* entry = kinds_.find(kind_of(span));
    if (entry == nullptr || objects == 0) return;
    entry->objects += objects;
    entry->bytes += objects * span.slot_bytes;
  }

  sample::Output& out_;
  heap_dump_info& info_;
  ObjectBits seen_, in_hole_;
  KindTable kinds_;
  PageStack<std::uintptr_t> to_write_;
  PageStack<Ephemeron> ephemerons_, ephemerons_waiting_;  // whose key has not been reached yet
  std::uint64_t kinds_written_ = 0, last_unit_ = 0;
  std::uintptr_t object_ = 0;  // whose references are being written; 0: functions of the program name roots
  bool failed_ = false;
  std::uintptr_t words_[kWords];
};

}  // namespace

bool write_heap(sample::Output& out, int process, heap_dump_info& info) {
  HeapWriter writer(out, info);
  return writer.write(process);
}

}  // namespace lull::gc

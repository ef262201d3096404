// lull::arena and lull::traced_arena: objects that are made by moving a pointer and go all at once.
//
//   lull::arena a;                                   // memory of its own; its objects refer to nothing managed
//   Token* t = a.make<Token>(kind, text);
//   a.reset();                                       // destructors run, the memory is used again
//
//   lull::traced_arena b;                            // managed memory: its objects hold ptr members like any other
//   lull::ptr<Node> n = b.make<Node>(left, right);
//
// What differs: an arena's reset() makes its objects' addresses invalid at once (LULL_MALLOC=arena makes a later use stop the
// program with the arena's name); a traced arena's lets go of its memory, which the collector frees when nobody refers to
// any object in the same chunk any more: references that were left stay valid.
//
// An arena is for one thread at a time. make() costs two additions, a comparison and the constructor. Types that are not
// lull::droppable are destroyed by reset() and the destructor, last made first. Errors: std::bad_alloc, and what a constructor
// throws; nothing is leaked. An arena never collects; a traced arena may when it needs another chunk.
// After Hanson, "Fast allocation and deallocation of memory based on object lifetimes" (1990).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "lull/detail/adapter.h"
#include "lull/detail/arena_chunk.h"
#include "lull/make.h"
#include "lull/ptr.h"
#include "lull/root.h"

namespace lull {
namespace detail {

// A destructor that is due. Lies in the arena, before its object.
struct ArenaDestructor {
  ArenaDestructor* earlier;
  void (*run)(void* objects, std::size_t count);
  void* objects;
  std::size_t count;
};

// What both kinds share: a free stretch [cursor, limit) and the destructors that are due.
template <class Arena>
class ArenaBase {
 public:
  ArenaBase(const ArenaBase&) = delete;
  ArenaBase& operator=(const ArenaBase&) = delete;

  // `size` bytes, alignment a power of two. Zero in a traced arena, of any value in the other. Size 0 is an address like others.
  [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
    const std::uintptr_t at = (cursor_ + alignment - 1) & ~(alignment - 1);
    if (at > limit_ || size > limit_ - at || at == 0) [[unlikely]] return self().alloc_in_new_chunk(size, alignment);
    cursor_ = at + size;
    return reinterpret_cast<void*>(at);
  }

  // Bytes handed out since the start or the last reset(), gaps of alignment and headers included.
  std::size_t used() const noexcept { return used_before_ + (cursor_ - begin_); }

 protected:
  ArenaBase() = default;
  ~ArenaBase() = default;

  // Constants for size and alignment leave an addition and a comparison.
  template <class T>
  [[gnu::always_inline]] void* place() {
    const std::uintptr_t at = (cursor_ + alignof(T) - 1) & ~(alignof(T) - 1);
    const std::uintptr_t next = at + sizeof(T);
    if (next > limit_) [[unlikely]] return self().alloc_in_new_chunk(sizeof(T), alignof(T));
    cursor_ = next;
    return reinterpret_cast<void*>(at);
  }

  template <class T, class... Arguments>
  [[gnu::always_inline]] T* construct(Arguments&&... arguments) {
    ArenaDestructor* due = nullptr;
    if constexpr (!droppable<T>::value) due = static_cast<ArenaDestructor*>(place<ArenaDestructor>());
    void* memory = place<T>();
    T* object;
    if constexpr (std::is_constructible_v<T, Arguments...>) object = std::construct_at(static_cast<T*>(memory), std::forward<Arguments>(arguments)...);
    else object = ::new (memory) T{std::forward<Arguments>(arguments)...};
    if constexpr (!droppable<T>::value) note(due, object, 1);
    return object;
  }

  template <class T>
  T* construct_array(std::size_t length) {
    if (length > (std::size_t{1} << 46) / sizeof(T)) throw_or_abort<std::bad_array_new_length>();
    ArenaDestructor* due = nullptr;
    if constexpr (!droppable<T>::value) due = static_cast<ArenaDestructor*>(place<ArenaDestructor>());
    auto* elements = static_cast<T*>(alloc(length * sizeof(T), alignof(T)));
    std::uninitialized_value_construct_n(elements, length);
    if constexpr (!droppable<T>::value) note(due, elements, length);
    return elements;
  }

  void run_destructors() noexcept {
    while (ArenaDestructor* due = std::exchange(destructors_, destructors_ == nullptr ? nullptr : destructors_->earlier))
      due->run(due->objects, due->count);
  }
  void use(std::uintptr_t begin, std::uintptr_t limit) noexcept {
    used_before_ = used();
    begin_ = cursor_ = begin;
    limit_ = limit;
  }
  void use_nothing() noexcept { begin_ = cursor_ = limit_ = used_before_ = 0; }
  void take_over(ArenaBase& other) noexcept {
    cursor_ = other.cursor_, limit_ = other.limit_, begin_ = other.begin_, used_before_ = other.used_before_;
    destructors_ = std::exchange(other.destructors_, nullptr);
    other.use_nothing();
  }

  // The next chunk: twice the last one, up to a bound; more if the request needs it.
  static constexpr std::size_t kFirstChunk = 16 * 1024, kLargestChunk = 128 * 1024;
  std::size_t next_chunk_bytes(std::size_t request) noexcept {
    const std::size_t bytes = chunk_bytes_;
    if (chunk_bytes_ < kLargestChunk) chunk_bytes_ *= 2;
    return request > bytes ? request : bytes;
  }

 private:
  Arena& self() noexcept { return static_cast<Arena&>(*this); }
  template <class T>
  void note(ArenaDestructor* due, T* objects, std::size_t count) noexcept {
    *due = {destructors_, [](void* first, std::size_t n) { std::destroy_n(static_cast<T*>(first), n); }, objects, count};
    destructors_ = due;
  }

  std::uintptr_t cursor_ = 0, limit_ = 0, begin_ = 0;
  std::size_t used_before_ = 0;  // in chunks before the current one
  std::size_t chunk_bytes_ = kFirstChunk;
  ArenaDestructor* destructors_ = nullptr;
};

}  // namespace detail

class arena : public detail::ArenaBase<arena> {
 public:
  // The name, a literal, is for the report of a dangling use.
  explicit arena(const char* name = "arena") noexcept : name_(name) {}
  arena(arena&& other) noexcept { *this = std::move(other); }
  arena& operator=(arena&& other) noexcept {
    if (this == &other) return *this;
    release();
    take_over(other);
    first_ = std::exchange(other.first_, nullptr);
    current_ = std::exchange(other.current_, nullptr);
    name_ = other.name_;
    return *this;
  }
  ~arena() { release(); }

  // Not for types with references into the heap, which nobody would see: those take a traced arena.
  template <class T, class... Arguments>
    requires(!detail::HasTrace<T>)
  [[gnu::always_inline]] T* make(Arguments&&... arguments) {
    return construct<T>(std::forward<Arguments>(arguments)...);
  }
  // Value-initialised.
  template <class T>
    requires(!detail::HasTrace<T>)
  std::span<T> make_array(std::size_t length) {
    return {construct_array<T>(length), length};
  }

  // All objects are gone; the memory stays with the arena.
  void reset() noexcept {
    if (detail::arenas_are_checked()) return release();
    run_destructors();
    use_nothing();
    if ((current_ = first_) != nullptr) use_chunk(*first_);
  }
  // All objects are gone and the memory is given back.
  void release() noexcept {
    run_destructors();
    use_nothing();
    detail::free_arena_chunks(std::exchange(first_, nullptr), name_);
    current_ = nullptr;
  }
  std::size_t reserved() const noexcept {
    std::size_t sum = 0;
    for (const detail::ArenaChunk* chunk = first_; chunk != nullptr; chunk = chunk->next) sum += chunk->bytes;
    return sum;
  }

 private:
  friend class detail::ArenaBase<arena>;
  void use_chunk(detail::ArenaChunk& chunk) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(&chunk);
    use(at + sizeof(detail::ArenaChunk), at + chunk.bytes);
  }
  [[gnu::noinline]] void* alloc_in_new_chunk(std::size_t size, std::size_t alignment) {
    if (size > (std::size_t{1} << 46)) detail::throw_or_abort<std::bad_alloc>();
    const std::size_t needed = sizeof(detail::ArenaChunk) + size + alignment;
    detail::ArenaChunk*& next = current_ == nullptr ? first_ : current_->next;
    if (next == nullptr || next->bytes < needed) {  // none left from before a reset, or too small
      detail::ArenaChunk* chunk = detail::take_arena_chunk(next_chunk_bytes(needed));
      if (chunk == nullptr) detail::throw_or_abort<std::bad_alloc>();
      chunk->next = next;
      next = chunk;
    }
    current_ = next;
    use_chunk(*next);
    return alloc(size, alignment);
  }

  detail::ArenaChunk* first_ = nullptr;
  detail::ArenaChunk* current_ = nullptr;
  const char* name_ = nullptr;
};

// Lives anywhere: its chunks hang on a root.
class traced_arena : public detail::ArenaBase<traced_arena> {
 public:
  traced_arena() = default;
  traced_arena(traced_arena&& other) noexcept { *this = std::move(other); }
  traced_arena& operator=(traced_arena&& other) noexcept {
    if (this == &other) return *this;
    reset();
    take_over(other);
    newest_ = std::move(other.newest_);
    return *this;
  }
  ~traced_arena() { reset(); }

  template <class T, class... Arguments>
  [[gnu::always_inline]] ptr<T> make(Arguments&&... arguments) {
    return ptr<T>(construct<T>(std::forward<Arguments>(arguments)...));
  }
  // Value-initialised. The span's elements live as long as the arena is not reset or somebody refers to the chunk.
  template <class T>
  std::span<T> make_array(std::size_t length) { return {construct_array<T>(length), length}; }

  void reset() noexcept {
    run_destructors();
    use_nothing();
    // Each refers to the one before: without these links a chunk that somebody refers to keeps no others.
    for (ptr<Word[]> chunk = newest_.load(); chunk;) chunk = std::exchange(chunk_before(chunk), nullptr);
    newest_.reset();
  }

 private:
  friend class detail::ArenaBase<traced_arena>;
  // A word that may be a reference. No trace(): the chunk is scanned word by word.
  struct Word {
    std::uintptr_t bits;
  };

  static ptr<Word[]>& chunk_before(const ptr<Word[]>& chunk) { return *std::launder(reinterpret_cast<ptr<Word[]>*>(chunk.get())); }

  [[gnu::noinline]] void* alloc_in_new_chunk(std::size_t size, std::size_t alignment) {
    if (size > (std::size_t{1} << 46)) detail::throw_or_abort<std::bad_alloc>();
    const std::size_t words = next_chunk_bytes(sizeof(ptr<Word[]>) + size + alignment) / sizeof(Word) + 1;
    // Zeroed already, and zeroes are Words: nothing to construct.
    ptr<Word[]> chunk(reinterpret_cast<Word*>(static_cast<char*>(detail::allocate_array_of<Word>(words)) + detail::array_offset<Word>));
    ::new (static_cast<void*>(chunk.get())) ptr<Word[]>(newest_.load());  // the chunk before
    const auto at = detail::to_word(chunk.get());
    newest_ = chunk;
    use(at + sizeof(ptr<Word[]>), at + words * sizeof(Word));
    return alloc(size, alignment);
  }

  root<Word[]> newest_;
};

}  // namespace lull

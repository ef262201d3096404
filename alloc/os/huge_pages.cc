#include "alloc/os/huge_pages.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/os/no_cancellation.h"

namespace lull::os {
namespace {

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

constexpr std::size_t kSystemPage = 4096, kMostBytes = std::size_t{2} << 20;

// A file of the folder, which is one short line; empty when it cannot be read.
struct Setting {
  char text[128] = {};
  explicit Setting(const char* path) {
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    const ssize_t n = ::read(file, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    ::close(file);
  }
};

// And keeps the thread from being cancelled.
class KeepErrno {
 public:
  KeepErrno() = default;
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  NoCancellation none_;
  int saved_ = errno;
};

}  // namespace

HugePageMode parse_huge_page_mode(const char* text) {
  if (std::strstr(text, "[never]") != nullptr) return HugePageMode::never;
  if (std::strstr(text, "[madvise]") != nullptr) return HugePageMode::madvise;
  if (std::strstr(text, "[always]") != nullptr) return HugePageMode::always;
  return HugePageMode::unknown;
}

HugePageMode huge_page_mode() {
  const KeepErrno keep;
  return parse_huge_page_mode(Setting("/sys/kernel/mm/transparent_hugepage/enabled").text);
}

// A range of no bytes: the kernel says only whether it knows the word.
bool can_collapse(std::size_t bytes) {
  const KeepErrno keep;
  const Setting size("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
  return std::strtoull(size.text, nullptr, 10) == bytes && ::madvise(nullptr, 0, MADV_COLLAPSE) == 0;
}

// EAGAIN: the kernel itself had a page in hand, in reclaim or compaction.
bool collapse(void* at, std::size_t bytes) {
  const KeepErrno keep;
  constexpr int kMostAttempts = 3;
  for (int attempt = 1; ::madvise(at, bytes, MADV_COLLAPSE) != 0; ++attempt)
    if (errno != EAGAIN || attempt == kMostAttempts) return false;
  return true;
}

bool forbid_huge_pages(void* at, std::size_t bytes) {
  const KeepErrno keep;
  return ::madvise(at, bytes, MADV_NOHUGEPAGE) == 0;
}

namespace {

// Huge pages are allowed in the range. Two changes of the mapping, which becomes one with its neighbours again.
class Allowed {
 public:
  Allowed(void* at, std::size_t bytes) : at_(at), bytes_(bytes), allowed_(::madvise(at, bytes, MADV_HUGEPAGE) == 0) {}
  ~Allowed() {
    if (allowed_) ::madvise(at_, bytes_, MADV_NOHUGEPAGE);
  }
  Allowed(const Allowed&) = delete;
  Allowed& operator=(const Allowed&) = delete;
  explicit operator bool() const { return allowed_; }

 private:
  void* at_;
  std::size_t bytes_;
  bool allowed_;
};

}  // namespace

bool touch_huge(void* at, std::size_t bytes) {
  const KeepErrno keep;
  {
    const Allowed allowed(at, bytes);
    if (!allowed) return false;
    // Another thread's word may be there already: added to, nothing of it is lost.
    __atomic_fetch_add(static_cast<unsigned char*>(at), 0, __ATOMIC_RELAXED);
  }
  return missing_pages(at, bytes) == 0;
}

bool collapse_forbidden(void* at, std::size_t bytes) {
  const KeepErrno keep;
  const Allowed allowed(at, bytes);
  return allowed && collapse(at, bytes);
}

// "Cold" is about pages, so of a huge page that is only cold in part the kernel makes small ones.
void split_huge_page(void* at) {
  const KeepErrno keep;
  ::madvise(at, kSystemPage, MADV_COLD);
}

std::size_t missing_pages(void* at, std::size_t bytes) {
  const KeepErrno keep;
  unsigned char present[kMostBytes / kSystemPage];
  const std::size_t pages = bytes / kSystemPage;
  if (bytes > kMostBytes || ::mincore(at, bytes, present) != 0) return pages;
  std::size_t missing = 0;
  for (std::size_t i = 0; i < pages; ++i) missing += (present[i] & 1) == 0;
  return missing;
}

}  // namespace lull::os

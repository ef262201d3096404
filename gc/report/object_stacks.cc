#include "gc/report/object_stacks.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "alloc/base/units.h"
#include "alloc/os/vm.h"
#include "gc/report/text_writer.h"
#include "lull/object_profile.h"

namespace lull::gc {
namespace {

constexpr std::size_t kSparePart = 4096;  // addresses that are added while they are counted

std::size_t frames_now() {
  std::size_t n = kSparePart;
  for_each_site([&](const Site& s) { n += s.stack->depth; });
  return n;
}

}  // namespace

// lull::gc::..., lull::detail::..., lull::cache::..., lull::sample::..., and lull::make...: as functions, templates (which have their
// result's type in front of the name nowhere) and what is local to them.
bool is_of_the_allocator(std::string_view name) {
  if (!name.starts_with("_Z")) return false;
  name.remove_prefix(2);
  while (!name.empty() && (name.front() == 'N' || name.front() == 'Z' || name.front() == 'K')) name.remove_prefix(1);
  if (!name.starts_with("4lull")) return false;
  name.remove_prefix(5);
  for (const std::string_view own : {"2gc", "6detail", "5cache", "6sample", "4make", "10make_array", "9allocator"})
    if (name.starts_with(own)) return true;
  return false;
}

NamedSites::NamedSites() : symbols_(frames_now()) {
  if (!symbols_.is_usable()) return;
  for_each_site([&](const Site& s) {
    for (std::uint32_t i = 0; i < s.stack->depth; ++i) symbols_.add(s.stack->frames[i] - 1);
  });
  symbols_.resolve();
}

std::span<const std::uintptr_t> NamedSites::frames_of(const Site& site) const {
  std::span<const std::uintptr_t> frames(site.stack->frames, site.stack->depth);
  while (frames.size() > 1 && is_of_the_allocator(name_of(frames.front()))) frames = frames.subspan(1);
  return frames;
}

namespace {

void put_frame(TextWriter& out, const NamedSites& sites, std::uintptr_t frame) {
  const std::string_view name = sites.name_of(frame);
  if (!name.empty()) {
    out << name;
    return;
  }
  char digits[2 * sizeof frame];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, frame - 1, 16);
  out << "0x" << std::string_view(digits, static_cast<std::size_t>(end.ptr - digits));
}

std::uint64_t read(const Site::Counter& counter) { return counter.load(std::memory_order_relaxed); }

std::uint64_t figure_of(const Site& s, object_profile::measure what) {
  const std::uint64_t freed_objects = read(s.freed_objects), freed_bytes = read(s.freed_bytes);
  switch (what) {
    case object_profile::measure::allocated_bytes: return read(s.allocated_bytes);
    case object_profile::measure::allocated_objects: return read(s.allocated_objects) >> sample::kObjectShift;
    case object_profile::measure::live_bytes: return read(s.allocated_bytes) - freed_bytes;
    case object_profile::measure::live_objects: return (read(s.allocated_objects) - freed_objects) >> sample::kObjectShift;
  }
  return 0;
}

// Short-lived sites. One for a function's call and a type, whatever stacks led there. `died`: those that had not survived before.
struct ShortLived {
  std::uintptr_t frame, caller;
  const Kind* kind;
  std::uint64_t bytes, died, survivors, longest_life;
};

// With 95 % confidence at most this share of the row's objects is found alive by the cycle that looks at them first: 3/n when none
// of n samples was (the rule of three), and the usual bound of a Poisson variable for a few.
double most_that_survive(const ShortLived& row) {
  const double seen = static_cast<double>(row.survivors) + 1;
  return row.died == 0 ? 1 : (seen + 2 * std::sqrt(seen)) / static_cast<double>(row.died + row.survivors);
}
constexpr double kMostSurvivors = 0.1;  // larger: sites that are hardly short-lived, or hardly known

class ShortLivedTable {
 public:
  explicit ShortLivedTable(const NamedSites& sites) {
    std::size_t n = 64;
    for_each_site([&](const Site&) { ++n; });
    capacity_ = n;
    rows_ = static_cast<ShortLived*>(os::map(bytes()));
    if (rows_ == nullptr) return;
    sites.for_each([&](const Site& s, std::span<const std::uintptr_t> frames) {
      if (count_ == capacity_ || frames.empty()) return;
      rows_[count_++] = {frames[0], frames.size() > 1 ? frames[1] : 0, s.kind, read(s.allocated_bytes), read(s.died_young), read(s.survivors),
                         read(s.longest_life)};
      all_bytes_ += read(s.allocated_bytes);
    });
    merge();
    std::sort(rows_, rows_ + count_, [](const ShortLived& a, const ShortLived& b) { return a.bytes > b.bytes; });
  }
  ~ShortLivedTable() {
    if (rows_ != nullptr) os::unmap(rows_, bytes());
  }
  ShortLivedTable(const ShortLivedTable&) = delete;
  ShortLivedTable& operator=(const ShortLivedTable&) = delete;
  bool is_usable() const { return rows_ != nullptr; }
  std::span<const ShortLived> rows() const { return {rows_, count_}; }
  std::uint64_t all_bytes() const { return all_bytes_; }

 private:
  std::size_t bytes() const { return round_up(capacity_ * sizeof(ShortLived), 4096); }
  void merge() {
    const auto key = [](const ShortLived& r) { return std::pair(r.frame, r.kind); };
    std::sort(rows_, rows_ + count_, [&](const ShortLived& a, const ShortLived& b) { return key(a) < key(b); });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (kept == 0 || key(rows_[kept - 1]) != key(rows_[i])) {
        rows_[kept++] = rows_[i];
        continue;
      }
      ShortLived& into = rows_[kept - 1];
      if (into.caller != rows_[i].caller) into.caller = 0;  // several
      into.bytes += rows_[i].bytes;
      into.died += rows_[i].died;
      into.survivors += rows_[i].survivors;
      into.longest_life = std::max(into.longest_life, rows_[i].longest_life);
    }
    count_ = kept;
  }
  ShortLived* rows_ = nullptr;
  std::size_t capacity_ = 0, count_ = 0;
  std::uint64_t all_bytes_ = 0;
};

void put_row(TextWriter& out, const NamedSites& sites, const ShortLived& row, std::uint64_t all_bytes) {
  const double share = all_bytes == 0 ? 0 : 100.0 * static_cast<double>(row.bytes) / static_cast<double>(all_bytes);
  const auto one_digit = [](double x) { return std::round(x * 10) / 10; };
  out << one_digit(share) << '\t' << row.bytes << '\t' << row.died << '\t' << row.survivors << '\t' << one_digit(100 * most_that_survive(row)) << '\t'
      << row.longest_life << '\t' << row.kind->name << '\t';
  put_frame(out, sites, row.frame);
  if (row.caller != 0) {
    out << " < ";
    put_frame(out, sites, row.caller);
  }
  out << '\n';
}

}  // namespace
}  // namespace lull::gc

namespace lull::object_profile {

namespace {

// A semicolon ends a frame.
void put_folded(gc::TextWriter& out, std::string_view name) {
  for (std::size_t end; (end = name.find(';')) != name.npos; name.remove_prefix(end + 1)) out << name.substr(0, end) << ':';
  out << name;
}

}  // namespace

bool write_folded(const text_sink& to, measure what) {
  const gc::NamedSites sites;
  if (!sites.is_usable()) {
    errno = ENOMEM;
    return false;
  }
  gc::TextWriter out(to);
  sites.for_each([&](const gc::Site& site, std::span<const std::uintptr_t> frames) {
    const std::uint64_t figure = gc::figure_of(site, what);
    if (figure == 0) return;
    for (std::size_t i = frames.size(); i-- > 0;) {
      if (const std::string_view name = sites.name_of(frames[i]); !name.empty()) put_folded(out, name);
      else gc::put_frame(out, sites, frames[i]);
      out << ';';
    }
    out << '[';
    put_folded(out, site.kind->name);
    out << "] " << figure << '\n';
  });
  return true;
}

bool write_short_lived(const text_sink& to) {
  const gc::NamedSites sites;
  const gc::ShortLivedTable table(sites);
  if (!sites.is_usable() || !table.is_usable()) {
    errno = ENOMEM;
    return false;
  }
  gc::TextWriter out(to);
  out << "% of bytes\tbytes\tdead at first look\talive then\tat most % alive\tlongest life, bytes\ttype\tsite\n";
  for (const gc::ShortLived& row : table.rows())
    if (gc::most_that_survive(row) <= gc::kMostSurvivors) gc::put_row(out, sites, row, table.all_bytes());
  return true;
}

}  // namespace lull::object_profile

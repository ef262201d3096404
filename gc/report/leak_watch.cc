// lull::leak_watch: a Trend for each type, fed by the driver after every full cycle. The program is told on the watch thread.
#include "lull/leak_watch.h"

#include <algorithm>
#include <array>
#include <new>

#include "alloc/os/clock.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "gc/cycle/cycle_events.h"
#include "gc/report/leak_watch.h"
#include "gc/report/live_by_type.h"
#include "gc/report/quiet.h"
#include "gc/report/trend.h"
#include "gc/report/watch_thread.h"

namespace lull {
namespace gc {
namespace {

struct Watched {
  Watched* next = nullptr;
  KindRecord* kind = nullptr;
  Trend trend;
  std::uint64_t told_at = 0;  // live bytes when on_leak was called; 0: not leaking
};

constinit os::Lock lock{os::LockRank::reports};
constinit Watched* watched = nullptr;       // lock; never freed
constinit std::uint32_t kinds_watched = 0;  // lock
constinit leak_watch::options settings;     // lock
constinit bool watching = false;            // lock

void watch_new_kinds_locked() {
  if (kinds_watched == registered_kinds()) return;
  for_each_kind([](KindRecord& kind) {
    if (kind.watched) return;
    void* memory = os::allocate_meta(sizeof(Watched));
    if (memory == nullptr) return;
    kind.watched = true;
    auto* fresh = new (memory) Watched;
    fresh->kind = &kind;
    fresh->next = watched;
    watched = fresh;
    ++kinds_watched;
  });
}

leak describe(const Watched& w, const Growth& growth) {
  return {.type = w.kind->kind->name,
          .bytes_per_second = growth.per_second,
          .bytes_per_cycle = growth.per_sample,
          .live_bytes = w.kind->live_bytes.load(std::memory_order_relaxed),
          .live_objects = w.kind->live_objects.load(std::memory_order_relaxed),
          .cycles = growth.samples};
}

// Whether the program is to be told now.
bool judge_locked(Watched& w, leak& found) {
  const Growth growth = w.trend.look(settings.least_bytes_per_second);
  if (!growth.grows) {
    w.told_at = 0;
    return false;
  }
  if (w.told_at != 0 && w.trend.newest() < 2 * w.told_at) return false;
  w.told_at = w.trend.newest();
  found = describe(w, growth);
  return true;
}

// Found by the driver, told by the watch thread.
struct News {
  std::array<leak, 16> leaks;  // more at once are left out: find() has them
  std::size_t count = 0, told = 0;
};
constinit News news;  // lock

// One at a time: stop() may come from inside a call.
bool take_news(leak& found, leak_watch::options& to) {
  const Quiet quiet;
  os::Locked locked(lock);
  if (settings.on_leak == nullptr || news.told == news.count) {
    news.count = news.told = 0;
    return false;
  }
  found = news.leaks[news.told++];
  to = settings;
  begin_call(WatcherSlot::leak_watch);
  return true;
}

void tell_news() {
  leak found;
  leak_watch::options to;
  while (take_news(found, to)) {
    to.on_leak(found, to.context);
    end_call(WatcherSlot::leak_watch);
  }
}

}  // namespace

void note_for_leak_watch() {
  os::Locked locked(lock);
  if (!watching) return;
  watch_new_kinds_locked();
  const double now = static_cast<double>(os::monotonic_ns()) * 1e-9;
  for (Watched* w = watched; w != nullptr; w = w->next) {
    w->trend.add(now, w->kind->live_bytes.load(std::memory_order_relaxed));
    leak found;
    if (judge_locked(*w, found) && news.count < news.leaks.size()) news.leaks[news.count++] = found;
  }
}

os::Lock& leak_watch_lock_for_fork() { return lock; }

}  // namespace gc

namespace leak_watch {

bool start(const options& with) {
  if (!gc::start_watch_thread()) return false;
  std::uint32_t call;
  {
    const gc::Quiet quiet;
    os::Locked locked(gc::lock);
    gc::settings = with;
    gc::watching = true;
    gc::news.count = gc::news.told = 0;
    for (gc::Watched* w = gc::watched; w != nullptr; w = w->next) {
      w->trend = {};
      w->told_at = 0;
    }
    gc::set_watcher(gc::WatcherSlot::leak_watch, {gc::tell_news, 0});
    call = gc::call_under_way(gc::WatcherSlot::leak_watch);
  }
  gc::wait_for_call(gc::WatcherSlot::leak_watch, call);
  return true;
}

void stop() {
  std::uint32_t call;
  {
    const gc::Quiet quiet;
    os::Locked locked(gc::lock);
    gc::watching = false;
    gc::news.count = gc::news.told = 0;
    gc::set_watcher(gc::WatcherSlot::leak_watch, {});
    call = gc::call_under_way(gc::WatcherSlot::leak_watch);
  }
  gc::wait_for_call(gc::WatcherSlot::leak_watch, call);
}

std::size_t find(std::span<leak> out) {
  const gc::Quiet quiet;
  os::Locked locked(gc::lock);
  std::size_t count = 0;
  for (gc::Watched* w = gc::watched; w != nullptr && gc::watching; w = w->next) {
    const gc::Growth growth = w->trend.look(gc::settings.least_bytes_per_second);
    if (!growth.grows) continue;
    const leak found = gc::describe(*w, growth);
    const auto faster = [&](const leak& l) { return l.bytes_per_second >= found.bytes_per_second; };
    const auto at = std::find_if_not(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), faster);
    if (at == out.end()) continue;
    if (count < out.size()) ++count;
    std::move_backward(at, out.begin() + static_cast<std::ptrdiff_t>(count) - 1, out.begin() + static_cast<std::ptrdiff_t>(count));
    *at = found;
  }
  return count;
}

}  // namespace leak_watch
}  // namespace lull

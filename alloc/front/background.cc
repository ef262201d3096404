#include "alloc/front/background.h"

#include <atomic>
#include <cstdint>

#include "alloc/front/options.h"
#include "alloc/front/sleepers.h"
#include "alloc/front/span_purge.h"
#include "alloc/front/strangers.h"
#include "alloc/os/environment.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/purger.h"

namespace lull::front {
namespace {

constexpr std::uint32_t kRoundTicks = 10;  // about a second
constexpr std::size_t kMostPerRound = std::size_t{256} << 20;

constinit std::atomic<bool> given{false}, taken{false};  // since the last round began

// Every tick. True: there may be more to do.
bool on_tick() {
  constinit static std::uint32_t tick = 0;  // the purger's thread only, these
  constinit static std::uint32_t rounds_left = 0;
  constinit static bool may_find_sleepers = false;
  if (given.load(std::memory_order_relaxed) && given.exchange(false, std::memory_order_relaxed))
    rounds_left = 3;  // one to look, one to see it idle, one for the rest
  if (taken.load(std::memory_order_relaxed) && taken.exchange(false, std::memory_order_relaxed)) may_find_sleepers = true;
  const bool is_short = pages::memory_is_short();
  if (rounds_left == 0 && !may_find_sleepers && !is_short) return false;
  if (++tick % kRoundTicks != 0) return true;
  give_unfetched_back();
  may_find_sleepers = empty_sleepers(is_short ? When::at_once : When::when_idle);
  if (is_short) rounds_left = 3;
  if (rounds_left > 0 && purge_idle_spans(kMostPerRound) < kMostPerRound) --rounds_left;
  return rounds_left > 0 || may_find_sleepers;
}

void note(std::atomic<bool>& what, bool (*nudge)()) {
  if (what.load(std::memory_order_relaxed)) return;
  what.store(true, std::memory_order_relaxed);
  pages::set_purger_hook(on_tick);
  if (!nudge()) what.store(false, std::memory_order_relaxed);  // the heap may yet grow to be worth it
}

}  // namespace

void begin_background() {
  pages::check_memory_limit_variable();
  MallocOptions options;  // not malloc_options(), which reads once for all: a program's own constructors may yet set the variable
  if (const char* text = os::environment_variable("LULL_MALLOC")) static_cast<void>(parse_malloc_options(text, options));
  if (options.purger == 1) return;
  pages::memory_limit();  // opens files: a sandbox may begin after this
  if (options.purger == 0) pages::forbid_purger();
  else pages::start_purger();
}

void note_blocks_given() { note(given, pages::nudge_purger_from_free); }
void note_blocks_taken() { note(taken, pages::nudge_purger); }

}  // namespace lull::front

// lull::guardian: the engine, fed with metrics on the watch thread.
#include "lull/guardian.h"

#include <algorithm>
#include <optional>

#include "alloc/os/clock.h"
#include "alloc/os/lock.h"
#include "alloc/os/vm.h"
#include "alloc/pages/purger.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/model/delay.h"
#include "gc/report/guardian_engine.h"
#include "gc/report/quiet.h"
#include "gc/report/text_writer.h"
#include "gc/report/watch_thread.h"
#include "lull/collect.h"
#include "lull/metrics.h"

namespace lull {
namespace gc {
namespace {

using guardian::action;
using guardian::entry;
using guardian::rule;

constinit os::Lock lock{os::LockRank::reports};
constinit GuardianEngine* engine = nullptr;    // lock; made at the first start, never freed
constinit std::uint64_t started_ns = 0;        // lock
constinit std::uint64_t generation = 0;        // lock; of the rules, from 1
constinit bool running = false;                // lock

// The watch thread's: what metrics were at the last look, by rule, and whose rules those were. A child's thread is another one, and begins anew.
constinit histogram* before = nullptr;   // made with the engine
constinit histogram* scratch = nullptr;  // likewise
constinit double last_value[guardian::most_rules], last_whole[guardian::most_rules];
__thread std::uint64_t looked_at __attribute__((tls_model("initial-exec"))) = 0;

bool make_engine_locked() {
  if (engine != nullptr) return true;
  constexpr std::size_t kHistograms = guardian::most_rules + 1;
  const std::size_t bytes = (sizeof(GuardianEngine) + kHistograms * sizeof(histogram) + 4095) / 4096 * 4096;
  void* memory = os::map(bytes);
  if (memory == nullptr) return false;
  auto* histograms = static_cast<histogram*>(memory);
  before = histograms;
  scratch = histograms + guardian::most_rules;
  engine = new (histograms + kHistograms) GuardianEngine;
  return true;
}

double number_of(std::string_view metric) {
  metrics::sample s{metric};
  metrics::read({&s, 1});
  return s.f;
}

// The quantile of what was recorded since `last`, which is what it is now afterwards.
double recent_quantile(const rule& r, histogram& last) {
  metrics::sample s{.name = r.metric, .durations = scratch};
  metrics::read({&s, 1});
  histogram& now = *scratch;
  histogram fresh;
  for (std::size_t i = 0; i < histogram::bucket_count; ++i) {
    fresh.buckets[i] = now.buckets[i] - last.buckets[i];
    fresh.count += fresh.buckets[i];
  }
  fresh.max_ns = now.max_ns;
  last = now;
  return fresh.count == 0 ? 0 : static_cast<double>(fresh.quantile_ns(r.quantile)) * 1e-9;
}

// The quotient of two sums is that of what was added since the last look.
double value_of(const rule& r, std::size_t i) {
  if (metrics::find(r.metric)->kind == metrics::value_kind::histogram) return recent_quantile(r, before[i]);
  const double value = number_of(r.metric);
  if (r.per.empty()) return value;
  const double whole = number_of(r.per);
  const bool sums = metrics::find(r.metric)->cumulative && metrics::find(r.per)->cumulative;
  const double part = sums ? value - last_value[i] : value, of = sums ? whole - last_whole[i] : whole;
  last_value[i] = value;
  last_whole[i] = whole;
  return of > 0 ? part / of : 0;
}

void act(const entry& e) {
  switch (e.what) {
    case action::tell: return;
    case action::collect: return request_full_cycle();
    case action::return_memory: pages::purge_now(0); return;
    case action::raise_percent:
    case action::lower_percent: pacing.set_gc_percent(e.percent_after); return;
  }
}

struct Rules {
  rule rules[guardian::most_rules];
  std::size_t count = 0;
  std::uint64_t generation = 0;
};

bool read_rules(Rules& out) {
  os::Locked locked(lock);
  if (!running) return false;
  out.count = static_cast<std::size_t>(std::copy(engine->rules().begin(), engine->rules().end(), out.rules) - out.rules);
  out.generation = generation;
  return true;
}

void forget_what_others_saw(const Rules& rules) {
  if (looked_at == rules.generation) return;
  looked_at = rules.generation;
  std::fill_n(before, guardian::most_rules, histogram{});
  std::fill_n(last_value, guardian::most_rules, 0);
  std::fill_n(last_whole, guardian::most_rules, 0);
}

struct Decision {
  entry what;
  guardian::options with;
};

// A decision is a call: stop() waits for what is done about it.
std::optional<Decision> decide(const Rules& rules, std::span<const double> values) {
  const int percent = pacing.gc_percent();
  os::Locked locked(lock);
  if (!running || generation != rules.generation) return {};  // stopped or started anew meanwhile
  const entry* decided = engine->look(static_cast<double>(os::monotonic_ns() - started_ns) * 1e-9, values, percent);
  if (decided == nullptr) return {};
  begin_call(WatcherSlot::guardian);
  return Decision{*decided, engine->options()};
}

std::optional<Decision> look() {
  const Quiet quiet;
  Rules rules;
  if (!read_rules(rules)) return {};
  forget_what_others_saw(rules);
  delay_point("guardian looks");
  double values[guardian::most_rules];
  for (std::size_t i = 0; i < rules.count; ++i) values[i] = value_of(rules.rules[i], i);
  const std::optional<Decision> decided = decide(rules, std::span(values).first(rules.count));
  if (decided) act(decided->what);
  return decided;
}

// Not inlined: GCC 12 at -O3 warns of a dangling pointer that there is not.
[[gnu::noinline]] void tell(const Decision& done) {
  if (done.with.on_action != nullptr) done.with.on_action(done.what, done.with.context);
}

void run() {
  const std::optional<Decision> done = look();
  if (!done) return;
  tell(*done);
  end_call(WatcherSlot::guardian);
}

bool is_valid(const rule& r) {
  const metrics::description* metric = metrics::find(r.metric);
  if (metric == nullptr || !(r.until <= r.above) || !(r.for_seconds >= 0) || !(r.every_seconds >= 0)) return false;  // numbers that are none, too
  const bool is_histogram = metric->kind == metrics::value_kind::histogram;
  if (is_histogram) return r.quantile > 0 && r.quantile <= 1 && r.per.empty();
  if (r.quantile != 0) return false;
  const metrics::description* per = metrics::find(r.per);
  return r.per.empty() || (per != nullptr && per->kind != metrics::value_kind::histogram);
}

constexpr rule kUsualRules[] = {
    {.name = "heap-near-limit", .metric = "/memory/inuse:bytes", .per = "/gc/gomemlimit:bytes", .above = 0.8, .until = 0.7, .then = action::collect},
    {.name = "idle-near-limit", .metric = "/memory/held:bytes", .per = "/gc/gomemlimit:bytes", .above = 0.9, .until = 0.8,
     .then = action::return_memory},
    {.name = "long-pauses", .metric = "/gc/pauses:seconds", .per = {}, .quantile = 0.99, .above = 1e-3, .until = 5e-4, .for_seconds = 60,
     .every_seconds = 60, .then = action::tell},
    {.name = "long-assists", .metric = "/gc/assists:seconds", .per = {}, .quantile = 0.99, .above = 1e-3, .until = 5e-4, .for_seconds = 30,
     .every_seconds = 30, .then = action::raise_percent},
    {.name = "much-collecting", .metric = "/cpu/classes/gc/total:cpu-seconds", .per = "/cpu/classes/total:cpu-seconds", .above = 0.5,
     .until = 0.3, .for_seconds = 30, .every_seconds = 60, .then = action::raise_percent},
};

}  // namespace

os::Lock& guardian_lock_for_fork() { return lock; }

}  // namespace gc

namespace guardian {

const char* name_of(action what) {
  constexpr const char* kNames[] = {"tell", "collect", "return_memory", "raise_percent", "lower_percent"};
  return kNames[static_cast<std::size_t>(what)];
}

std::span<const rule> usual_rules() { return gc::kUsualRules; }

bool start(std::span<const rule> rules, const options& with) {
  if (rules.size() > most_rules || !std::all_of(rules.begin(), rules.end(), gc::is_valid)) return false;
  if (!(with.period_seconds >= 0 && with.period_seconds <= 1e9) || !(with.least_pause_seconds >= 0)) return false;
  if (!gc::start_watch_thread()) return false;
  std::uint32_t call;
  {
    const gc::Quiet quiet;
    os::Locked locked(gc::lock);
    if (!gc::make_engine_locked()) return false;
    gc::engine->start(rules, with);
    ++gc::generation;
    gc::started_ns = os::monotonic_ns();
    gc::running = true;
    gc::set_watcher(gc::WatcherSlot::guardian, {gc::run, static_cast<std::uint64_t>(std::max(with.period_seconds, 1e-3) * 1e9)});
    call = gc::call_under_way(gc::WatcherSlot::guardian);
  }
  gc::wake_watchers();
  gc::wait_for_call(gc::WatcherSlot::guardian, call);
  return true;
}

void stop() {
  std::uint32_t call;
  {
    const gc::Quiet quiet;
    os::Locked locked(gc::lock);
    gc::running = false;
    gc::set_watcher(gc::WatcherSlot::guardian, {});
    call = gc::call_under_way(gc::WatcherSlot::guardian);
  }
  gc::wait_for_call(gc::WatcherSlot::guardian, call);
}

std::size_t read_log(std::span<entry> out) {
  const gc::Quiet quiet;
  os::Locked locked(gc::lock);
  return gc::engine == nullptr ? 0 : gc::engine->read_log(out);
}

std::size_t format(const entry& e, char* buffer, std::size_t size) {
  return write_to_buffer(buffer, size, [&](const text_sink& to) {
    gc::TextWriter out(to);
    char digits[32];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, e.value, std::chars_format::general, 4);
    const auto ms = static_cast<std::uint64_t>(e.seconds * 1e3 + 0.5);
    out << '@' << ms / 1000 << '.' << (ms % 1000 < 100 ? "0" : "") << (ms % 1000 < 10 ? "0" : "") << ms % 1000 << "s " << e.rule << ": "
        << std::string_view(digits, static_cast<std::size_t>(end.ptr - digits)) << ": " << name_of(e.what);
    if (e.percent_before != e.percent_after)
      out << ' ' << std::int64_t{e.percent_before} << " -> " << std::int64_t{e.percent_after};
  });
}

}  // namespace guardian
}  // namespace lull

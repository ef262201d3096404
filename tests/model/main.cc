#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <string>
#include "explore.h"
#include "walk.h"

using namespace model;

template <int W>
struct CollectorModel : Protocol {
  using State = model::State;
  using Step = model::Step;
  using Fault = model::Fault;
  using Key = Packed<W>;
  static constexpr Fault kDeadlock = Fault::leaked;
  explicit CollectorModel(const Config& c) : Protocol(c), shape(c.sh) {}
  Key pack(const State& s) const { return model::pack<W>(s, shape); }
  State unpack(const Key& key) const { return model::unpack<W>(key, shape); }
  Shape shape;
};

static Result<Fault> check(const Config& c, const Limits& l) {
  if (packed_bits(c.sh) <= 128) return Explorer(CollectorModel<2>(c), l).run();
  return Explorer(CollectorModel<3>(c), l).run();
}

// The options that switch one thing on or off; README.md explains them.
static const std::map<std::string, bool Config::*> kSwitches = {
    {"scan_hs1", &Config::scan_at_hs1},
    {"scan_flush", &Config::scan_at_flush},
    {"keep_alive", &Config::keep_alive},
    {"poll_in_slow", &Config::poll_in_slow_path},
    {"recheck", &Config::recheck},
    {"global_flag", &Config::global_flag},
    {"card_first", &Config::card_first},
    {"card_test", &Config::card_test},
    {"clean_fence", &Config::clean_fence},
    {"lossy_clean", &Config::lossy_clean},
    {"redirty_scan", &Config::redirty_scan},
    {"redirty_mark", &Config::redirty_mark},
    {"full_cleans", &Config::full_cleans},
    {"only_current_epoch", &Config::only_current_epoch},
    {"epoch_at_hs2", &Config::epoch_at_hs2},
    {"epoch_global", &Config::epoch_global},
    {"deletion", &Config::deletion},
    {"promote_at_birth", &Config::promote_at_birth},
    {"early_snapshot", &Config::early_snapshot},
    {"merged", &Config::merged_handshakes},
    {"publish_first", &Config::publish_first},
    {"move_new", &Config::move_new},
    {"split_alloc", &Config::split_alloc},
    {"helper", &Config::helper},
    {"cancel_on_handover", &Config::cancel_on_handover},
    {"cancel_first", &Config::cancel_first},
    {"raw_buffers", &Config::raw_buffers},
    {"assist_looks", &Config::assist_looks},
    {"assist_cancels", &Config::assist_cancels},
    {"weak", &Config::weak},
    {"lock_shades", &Config::lock_shades},
    {"lock_cancels", &Config::lock_cancels},
    {"lock_checks_done", &Config::lock_checks_done},
    {"lock_spares_marked", &Config::lock_spares_marked},
    {"abort", &Config::abort},
    {"aborted_forces_full", &Config::aborted_forces_full},
    {"young", &Config::young},
    {"full", &Config::full},
    {"live", &Config::check_live},
    {"global", &Config::use_global},
    {"root_card", &Config::root_card},
    {"peek", &Config::peek},
    {"fiber_card", &Config::fiber_card},
    {"fiber_store", &Config::fiber_store},
    {"fiber_free", &Config::fiber_free},
    {"fiber_enter_scans", &Config::fiber_enter_scans},
    {"fiber_leave_greys", &Config::fiber_leave_greys},
    {"fiber_free_scans", &Config::fiber_free_scans},
    {"fiber_leave_dirties", &Config::fiber_leave_dirties},
    {"fiber_store_dirties", &Config::fiber_store_dirties},
    {"fiber_lossy", &Config::fiber_lossy},
    {"fiber_early", &Config::fiber_early},
    {"coro_enter_scans", &Config::coro_enter_scans},
    {"coro_grey_scans", &Config::coro_grey_scans},
    {"coro_running_scans", &Config::coro_running_scans},
    {"coro_leave_scans", &Config::coro_leave_scans},
    {"coro_leave_dirties", &Config::coro_leave_dirties},
    {"coro_leave_greys", &Config::coro_leave_greys},
    {"end_hands_over", &Config::end_hands_over},
    {"end_cancels", &Config::end_cancels},
    {"dies", &Config::dies},
    {"end_is_blocked", &Config::end_is_blocked},
    {"end_leaves_answers", &Config::end_leaves_answers},
    {"start_flag", &Config::start_flag},
    {"start_black", &Config::start_black},
    {"start_black_after", &Config::start_black_after},
    {"start_cancels", &Config::start_cancels},
    {"stale", &Config::stale},
};

static bool set_shape(Shape& sh, const std::string& key, int v) {
  if (key == "n")
    sh.n = v;
  else if (key == "f")
    sh.f = v;
  else if (key == "r0")
    sh.regs[0] = v;
  else if (key == "r1")
    sh.regs[1] = v;
  else if (key == "one_card")
    sh.one_card = v != 0;
  else if (key == "fiber")
    sh.fiber = v != 0;
  else if (key == "coro")
    sh.coro = v != 0;
  else if (key == "ends")
    sh.ends = v != 0;
  else if (key == "assist")
    sh.assist = v != 0;
  else if (key == "tso") {
    sh.tso = v > 0;
    sh.sb = v;
  } else
    return false;
  return true;
}

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& v) {
  int num = std::atoi(v.c_str());
  if (set_shape(c.sh, key, num)) return true;
  if (auto it = kSwitches.find(key); it != kSwitches.end()) {
    c.*it->second = num != 0;
    return true;
  }
  auto pick = [&](std::initializer_list<const char*> names) {
    int i = 0;
    for (auto s : names) {
      if (v == s) return i;
      ++i;
    }
    return -1;
  };
  int k = -1;
  if (key == "hs") {
    k = pick({"coop", "async", "refuse"});
    c.hs = Handshake(k);
  } else if (key == "order") {
    k = pick({"post", "pre", "hoisted"});
    c.order = BarrierOrder(k);
  } else if (key == "card") {
    k = pick({"none", "late", "between", "early", "epoch"});
    c.card = Cards(k);
  } else if (key == "ins") {
    k = pick({"always", "any_grey", "scanning", "hs2", "grey", "never"});
    c.ins = Insertion(k);
  } else if (key == "writers") {
    k = pick({"exclusive", "exchange", "racy"});
    c.wr = Writers(k);
  } else if (key == "rounds") {
    k = pick({"cas", "quiet", "one"});
    c.term = Rounds(k);
  } else if (key == "max_states") {
    l.states = std::size_t(std::atof(v.c_str()));
    k = 0;
  } else if (key == "max_seconds") {
    l.seconds = std::atof(v.c_str());
    k = 0;
  }
  return k >= 0;
}

int main(int argc, char** argv) {
  Config c;
  Limits l;
  bool show = true;
  double walk_seconds = 0;
  u64 seed = 1;
  std::string given;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "-q") {
      show = false;
      continue;
    }
    if (a.rfind("walk=", 0) == 0) {
      walk_seconds = std::atof(a.c_str() + 5);
      continue;
    }
    if (a.rfind("seed=", 0) == 0) {
      seed = u64(std::atoll(a.c_str() + 5));
      continue;
    }
    auto eq = a.find('=');
    if (eq == std::string::npos || !set_option(c, l, a.substr(0, eq), a.substr(eq + 1))) {
      std::fprintf(stderr, "what is '%s'?\n", argv[i]);
      return 2;
    }
    given += (given.empty() ? "" : " ") + a;
  }
  if (c.card == Cards::none) c.young = false;
  c.sh.alike = c.sh.regs[0] == c.sh.regs[1] && !c.global_flag;
  if (walk_seconds > 0) {
    int weights[3] = {4, 0, 0};
    WalkResult w = walk(c, walk_seconds, 1500, seed, weights);
    std::printf("%-24s | walk %s | %s | %llu walks, %llu steps\n",
                w.found != Fault::none ? "FAILS" : "no fault found (walks)", given.c_str(), name(w.found),
                (unsigned long long)w.walks, (unsigned long long)w.steps);
    if (show)
      for (std::size_t i = 0; i < w.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, w.trace[i].c_str());
    return w.found != Fault::none;
  }
  Result<Fault> r = check(c, l);
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(),
              name(r.found), r.states, r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

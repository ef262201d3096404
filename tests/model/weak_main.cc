// The command line of the model of weak references, ephemerons, destructors and callbacks; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "weak.h"

using namespace model;
using namespace model::weak;

static const std::map<std::string, int Config::*> kNumbers = {
    {"n", &Config::n},           {"r0", &Config::r0},     {"r1", &Config::r1},       {"cells", &Config::cells}, {"global", &Config::global},
    {"fields", &Config::fields}, {"captures", &Config::captures}, {"map_in", &Config::map_in}, {"young", &Config::young}, {"full", &Config::full},
    {"abort", &Config::abort},   {"oom", &Config::oom},   {"live", &Config::live},   {"rounds", &Config::rounds}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"strong", Mutant::strong},
    {"dropped", Mutant::dropped},
    {"shade_wakes_nobody", Mutant::shade_wakes_nobody},
    {"assist_wakes_nobody", Mutant::assist_wakes_nobody},
    {"awaited_late", Mutant::awaited_late},
    {"no_recheck", Mutant::no_recheck},
    {"looks_first", Mutant::looks_first},
    {"deferred_kept", Mutant::deferred_kept},
    {"deferred_uncounted", Mutant::deferred_uncounted},
    {"emptied_early", Mutant::emptied_early},
    {"emptied_late", Mutant::emptied_late},
    {"not_emptied", Mutant::not_emptied},
    {"emptied_once", Mutant::emptied_once},
    {"closure_settles_not", Mutant::closure_settles_not},
    {"key_unshaded", Mutant::key_unshaded},
    {"value_unshaded", Mutant::value_unshaded},
    {"erased_unshaded", Mutant::erased_unshaded},
    {"cleared_unshaded", Mutant::cleared_unshaded},
    {"key_dirties_not", Mutant::key_dirties_not},
    {"value_dirties_not", Mutant::value_dirties_not},
    {"cell_reused", Mutant::cell_reused},
    {"iterates_unlocked", Mutant::iterates_unlocked},
    {"weak_after", Mutant::weak_after},
    {"weak_late", Mutant::weak_late},
    {"lock_ignores_done", Mutant::lock_ignores_done},
    {"lock_reads_once", Mutant::lock_reads_once},
    {"lock_shades_not", Mutant::lock_shades_not},
    {"lock_cancels_not", Mutant::lock_cancels_not},
    {"lock_cancels_always", Mutant::lock_cancels_always},
    {"found_early", Mutant::found_early},
    {"found_born", Mutant::found_born},
    {"handed_at_once", Mutant::handed_at_once},
    {"closure_unmarked", Mutant::closure_unmarked},
    {"queue_no_root", Mutant::queue_no_root},
    {"running_no_root", Mutant::running_no_root},
    {"taken_unshaded", Mutant::taken_unshaded},
    {"bit_kept", Mutant::bit_kept},
    {"bit_late", Mutant::bit_late},
    {"destroy_keeps_bit", Mutant::destroy_keeps_bit},
    {"unremembered", Mutant::unremembered},
    {"abort_forgets", Mutant::abort_forgets},
    {"abort_sweeps", Mutant::abort_sweeps},
    {"abort_young", Mutant::abort_young},
    {"callbacks_first", Mutant::callbacks_first},
    {"callbacks_early", Mutant::callbacks_early},
    {"callback_no_root", Mutant::callback_no_root},
    {"callback_unmarked", Mutant::callback_unmarked}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "ops0") c.ops0 = value;
  else if (key == "ops1") c.ops1 = value;
  else return false;
  constexpr const char* kOps = "lsabwkxncipfveztru";
  const auto lies_in = [](int v, int low, int high) { return v >= low && v <= high; };
  return lies_in(c.n, 1, kObjects) && lies_in(c.r0, 0, 2) && lies_in(c.r1, 0, 2) && lies_in(c.cells, 0, kCells) && lies_in(c.map_in, 0, 1) && lies_in(c.rounds, 0, 14) &&
         (c.ops0 + c.ops1).find_first_not_of(kOps) == std::string::npos;
}

int main(int argc, char** argv) { return run_model<WeakModel, Config>(argc, argv, set_option); }

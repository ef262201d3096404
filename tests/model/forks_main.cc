// The command line of the model of forks; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include "explore.h"
#include "forks.h"

using namespace model;
using namespace model::forks;

static const std::map<std::string, int Config::*> kNumbers = {
    {"gc", &Config::gc},         {"attached", &Config::attached}, {"other", &Config::other},   {"budget", &Config::budget},
    {"cycle", &Config::cycle},   {"helper", &Config::helper},     {"purger", &Config::purger}, {"dying", &Config::dying}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"no_cycle_gate", Mutant::no_cycle_gate},
    {"reset_instead", Mutant::reset_instead},
    {"not_blocked", Mutant::not_blocked},
    {"no_registry_lock", Mutant::no_registry_lock},
    {"no_index_lock", Mutant::no_index_lock},
    {"no_pages_lock", Mutant::no_pages_lock},
    {"index_lock_first", Mutant::index_lock_first},
    {"gate_last", Mutant::gate_last},
    {"no_heap_gate", Mutant::no_heap_gate},
    {"no_malloc_gate", Mutant::no_malloc_gate},
    {"no_barrier", Mutant::no_barrier},
    {"heap_gate_late", Mutant::heap_gate_late},
    {"malloc_gate_late", Mutant::malloc_gate_late},
    {"records_kept", Mutant::records_kept},
    {"driver_kept", Mutant::driver_kept},
    {"busy_kept", Mutant::busy_kept},
    {"purger_kept", Mutant::purger_kept},
    {"finalizer_kept", Mutant::finalizer_kept},
    {"visitors_kept", Mutant::visitors_kept},
    {"in_flight_kept", Mutant::in_flight_kept},
    {"driver_alone", Mutant::driver_alone},
    {"collects_anyway", Mutant::collects_anyway}};

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "ops") c.ops = value;
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return c.budget >= 0 && c.budget <= 3 && c.dying <= 3 && c.ops.find_first_not_of("ahkmwnrf") == std::string::npos;
}

int main(int argc, char** argv) {
  Config c;
  Limits l;
  bool show = true;
  std::string given;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto eq = a.find('=');
    if (a == "-q") {
      show = false;
    } else if (eq != std::string::npos && set_option(c, l, a.substr(0, eq), a.substr(eq + 1))) {
      given += (given.empty() ? "" : " ") + a;
    } else {
      std::fprintf(stderr, "what is '%s'?\n", argv[i]);
      return 2;
    }
  }
  const auto r = Explorer(ForkModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

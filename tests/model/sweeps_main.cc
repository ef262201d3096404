// The command line of the model of sweeps; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include "explore.h"
#include "sweeps.h"

using namespace model;
using namespace model::sweeps;

static const std::map<std::string, int Config::*> kNumbers = {{"young", &Config::young}, {"full", &Config::full}, {"spans", &Config::spans}, {"slots", &Config::slots}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"no_snapshot_taken", Mutant::no_snapshot_taken},
    {"no_snapshot_cached", Mutant::no_snapshot_cached},
    {"later_snapshot", Mutant::later_snapshot},
    {"any_span", Mutant::any_span},
    {"kept", Mutant::kept},
    {"opened_first", Mutant::opened_first},
    {"look_first", Mutant::look_first},
    {"no_wait", Mutant::no_wait},
    {"no_drain", Mutant::no_drain},
    {"tenured_stay", Mutant::tenured_stay}};

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return c.spans >= 1 && c.spans <= kSpans && c.slots >= 1 && c.slots <= 2;
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
  const auto r = Explorer(SweepModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

// The command line of the model of threads that sleep; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include "explore.h"
#include "sleepers.h"

using namespace model;
using namespace model::sleepers;

static const std::map<std::string, int Config::*> kNumbers = {
    {"blocks", &Config::blocks}, {"room", &Config::room}, {"strangers", &Config::strangers}, {"signals", &Config::signals}, {"ends", &Config::ends}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"no_barrier", Mutant::no_barrier},
    {"no_visit_check", Mutant::no_visit_check},
    {"no_wait_check", Mutant::no_wait_check},
    {"no_stack_check", Mutant::no_stack_check},
    {"no_time_check", Mutant::no_time_check},
    {"no_variable_check", Mutant::no_variable_check},
    {"early_variable_check", Mutant::early_variable_check},
    {"no_visit_recheck", Mutant::no_visit_recheck},
    {"take_busy", Mutant::take_busy},
    {"no_wake", Mutant::no_wake}};

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return c.blocks >= 1 && c.blocks <= 3 && c.room >= 1 && c.room <= 3;
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
  const auto r = Explorer(SleeperModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

// The command line of the model of handshakes; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include "explore.h"
#include "handshakes.h"

using namespace model;
using namespace model::handshakes;

static const std::map<std::string, int Config::*> kNumbers = {
    {"signals", &Config::signals}, {"budget", &Config::budget}, {"rounds", &Config::rounds}, {"stops", &Config::stops}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"no_claim", Mutant::no_claim},
    {"leave_anyway", Mutant::leave_anyway},
    {"park_clears_late", Mutant::park_clears_late},
    {"park_counted_early", Mutant::park_counted_early},
    {"epoch_late", Mutant::epoch_late},
    {"clear_late", Mutant::clear_late},
    {"flag_first", Mutant::flag_first},
    {"missing_late", Mutant::missing_late},
    {"handler_anyway", Mutant::handler_anyway},
    {"enter_open", Mutant::enter_open},
    {"end_unlocked", Mutant::end_unlocked},
    {"start_unlocked", Mutant::start_unlocked},
    {"state_kept", Mutant::state_kept}};

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return c.budget >= 0 && c.budget <= 3 && c.rounds >= 0 && c.rounds <= 3;
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
  const auto r = Explorer(HandshakeModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

// The command line of the model of handshakes; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "handshakes.h"

using namespace model;
using namespace model::handshakes;

static const std::map<std::string, int Config::*> kNumbers = {
    {"signals", &Config::signals}, {"budget", &Config::budget}, {"rounds", &Config::rounds}, {"stops", &Config::stops}, {"dies", &Config::dies}};
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
    {"state_kept", Mutant::state_kept},
    {"dead_waited_for", Mutant::dead_waited_for},
    {"dead_uncounted", Mutant::dead_uncounted},
    {"dead_answered", Mutant::dead_answered},
    {"dead_flagged", Mutant::dead_flagged},
    {"dead_acted_for", Mutant::dead_acted_for}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.budget >= 0 && c.budget <= 3 && c.rounds >= 0 && c.rounds <= 3;
}

int main(int argc, char** argv) { return run_model<HandshakeModel, Config>(argc, argv, set_option); }

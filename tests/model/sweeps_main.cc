// The command line of the model of sweeps; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
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

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.spans >= 1 && c.spans <= kSpans && c.slots >= 1 && c.slots <= 2;
}

int main(int argc, char** argv) { return run_model<SweepModel, Config>(argc, argv, set_option); }

// The command line of the model of threads that sleep; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "sleepers.h"

using namespace model;
using namespace model::sleepers;

static const std::map<std::string, int Config::*> kNumbers = {
    {"blocks", &Config::blocks}, {"room", &Config::room}, {"strangers", &Config::strangers}, {"signals", &Config::signals}, {"ends", &Config::ends}, {"dies", &Config::dies}};
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
    {"no_wake", Mutant::no_wake},
    {"no_look", Mutant::no_look}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.blocks >= 1 && c.blocks <= 3 && c.room >= 1 && c.room <= 3;
}

int main(int argc, char** argv) { return run_model<SleeperModel, Config>(argc, argv, set_option); }

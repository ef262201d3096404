// The command line of the model of pools' numbers; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "pools.h"

using namespace model;
using namespace model::pools;

static const std::map<std::string, int Config::*> kNumbers = {
    {"budget", &Config::budget}, {"cycles", &Config::cycles}, {"pools", &Config::pools}, {"dies", &Config::dies}};
static const std::map<std::string, Mutant> kMutants = {{"none", Mutant::none},
                                                       {"number_at_once", Mutant::number_at_once},
                                                       {"list_kept", Mutant::list_kept},
                                                       {"forget_nothing", Mutant::forget_nothing},
                                                       {"forget_own", Mutant::forget_own},
                                                       {"root_early", Mutant::root_early},
                                                       {"adopt_anyway", Mutant::adopt_anyway},
                                                       {"leave_open", Mutant::leave_open},
                                                       {"bury_nothing", Mutant::bury_nothing}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.budget >= 0 && c.budget <= 7 && c.cycles >= 0 && c.cycles <= 3 && c.pools >= 0 && c.pools <= kMostPools;
}

int main(int argc, char** argv) { return run_model<PoolModel, Config>(argc, argv, set_option); }

// The command line of the model of parcels; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "parcels.h"

using namespace model;
using namespace model::parcels;

static const std::map<std::string, int Config::*> kNumbers = {
    {"threads", &Config::threads}, {"parcels", &Config::parcels}, {"room", &Config::room}, {"inbox", &Config::inbox}, {"blocks", &Config::blocks}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},             {"link_late", Mutant::link_late},       {"put_blind", Mutant::put_blind},
    {"keep_sent", Mutant::keep_sent},   {"drop_first", Mutant::drop_first},     {"drop_full", Mutant::drop_full},
    {"count_stays", Mutant::count_stays}, {"stale_index", Mutant::stale_index}, {"take_outside", Mutant::take_outside},
    {"clear_outside", Mutant::clear_outside}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.threads >= 1 && c.threads <= kMostThreads && c.parcels >= 1 && c.parcels <= kMostParcels && c.room >= 1 && c.room <= 2 && c.inbox >= 1 &&
         c.inbox <= 3 && c.blocks >= 1 && c.blocks <= kMostBlocks;
}

int main(int argc, char** argv) { return run_model<ParcelModel, Config>(argc, argv, set_option); }

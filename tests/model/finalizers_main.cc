// The command line of the model of the queue of destructors; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "finalizers.h"

using namespace model;
using namespace model::finalizers;

static const std::map<std::string, int Config::*> kNumbers = {
    {"entries", &Config::entries}, {"batches", &Config::batches}, {"by_hand", &Config::by_hand}, {"waits", &Config::waits},
    {"thread", &Config::thread}, {"inside", &Config::inside}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},
    {"counts_run", Mutant::counts_run},
    {"at_early", Mutant::at_early},
    {"at_late", Mutant::at_late},
    {"number_late", Mutant::number_late},
    {"not_joined", Mutant::not_joined},
    {"progress_late", Mutant::progress_late},
    {"no_progress", Mutant::no_progress},
    {"waiters_not", Mutant::waiters_not},
    {"seen_late", Mutant::seen_late},
    {"wake_late", Mutant::wake_late},
    {"no_wake", Mutant::no_wake},
    {"wakes_first", Mutant::wakes_first},
    {"queued_late", Mutant::queued_late}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.batches >= 1 && c.batches <= 2 && c.entries >= c.batches && c.entries <= 3 && c.by_hand >= 0 && c.by_hand <= 2 && c.waits >= 0 && c.waits <= 2;
}

int main(int argc, char** argv) { return run_model<FinalizerModel, Config>(argc, argv, set_option); }

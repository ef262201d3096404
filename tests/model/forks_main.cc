// The command line of the model of forks; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
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
    {"bins_in_visit", Mutant::bins_in_visit},
    {"registry_in_visit", Mutant::registry_in_visit},
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
    {"lost_spans_kept", Mutant::lost_spans_kept},
    {"cursor_believed", Mutant::cursor_believed},
    {"cards_believed", Mutant::cards_believed},
    {"hole_outside", Mutant::hole_outside},
    {"register_outside", Mutant::register_outside},
    {"claim_outside", Mutant::claim_outside},
    {"pages_in_hand", Mutant::pages_in_hand},
    {"fork_waits_kept", Mutant::fork_waits_kept}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "ops") c.ops = value;
  else return false;
  return c.budget >= 0 && c.budget <= 3 && c.dying <= 3 && c.ops.find_first_not_of("ahkmwnrfo") == std::string::npos;
}

int main(int argc, char** argv) { return run_model<ForkModel, Config>(argc, argv, set_option); }

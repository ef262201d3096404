// The command line of the model of malloc's spans; README.md explains the options.
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include "command_line.h"
#include "spans.h"

using namespace model;
using namespace model::spans;

static const std::map<std::string, int Config::*> kNumbers = {
    {"threads", &Config::threads}, {"places", &Config::places},           {"blocks", &Config::blocks},
    {"words", &Config::words},     {"descriptors", &Config::descriptors}, {"spares", &Config::spares},
    {"doubles", &Config::doubles}, {"homes", &Config::homes}};
static const std::map<std::string, bool Config::*> kSwitches = {{"full", &Config::full}, {"unlinks", &Config::unlinks}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none},           {"count_first", Mutant::count_first}, {"ignore_held", Mutant::ignore_held},
    {"link_after", Mutant::link_after}, {"push_first", Mutant::push_first},   {"no_reserve", Mutant::no_reserve},
    {"no_tag", Mutant::no_tag},       {"keep_dead", Mutant::keep_dead},     {"free_at_death", Mutant::free_at_death},
    {"plain_drop", Mutant::plain_drop}, {"blind", Mutant::blind}, {"purge_unchecked", Mutant::purge_unchecked}, {"empties_twice", Mutant::empties_twice},
    {"plain_hold", Mutant::plain_hold}, {"keep_linked", Mutant::keep_linked},
    {"first_uncounted", Mutant::first_uncounted}, {"born_counted", Mutant::born_counted}, {"dead_nowhere", Mutant::dead_nowhere}};

// roles=afr,f: the last is that of all further threads too.
static void set_roles(Config& c, const char* value) {
  static std::string parts[kMostThreads];
  for (int t = 0; t < kMostThreads; ++t) {
    const char* comma = std::strchr(value, ',');
    parts[t] = comma != nullptr ? std::string(value, comma) : value;
    if (comma != nullptr) value = comma + 1;
    c.roles[t] = parts[t].c_str();
  }
}

static bool is_possible(const Config& c) {
  return c.threads >= 1 && c.threads <= kMostThreads && c.places >= 1 && c.places <= kMostPlaces && c.blocks >= 1 &&
         c.blocks <= 3 && c.words >= 1 && c.words <= 2 && c.descriptors >= 0 && c.descriptors <= kMostDescriptors &&
         c.doubles >= 0 && c.doubles <= 1 &&
         c.homes >= 1 && c.homes <= kMostHomes;
}
static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto s = kSwitches.find(key); s != kSwitches.end()) c.*s->second = value != "0";
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "roles") set_roles(c, value.c_str());
  else return false;
  return is_possible(c);
}

int main(int argc, char** argv) { return run_model<SpanModel, Config>(argc, argv, set_option); }

// The command line of the model of malloc's spans; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include "explore.h"
#include "spans.h"

using namespace model;
using namespace model::spans;

static const std::map<std::string, int Config::*> kNumbers = {
    {"threads", &Config::threads}, {"places", &Config::places},           {"blocks", &Config::blocks},
    {"words", &Config::words},     {"descriptors", &Config::descriptors}, {"spares", &Config::spares},
    {"doubles", &Config::doubles}};
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

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto s = kSwitches.find(key); s != kSwitches.end()) c.*s->second = value != "0";
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "roles") set_roles(c, value.c_str());
  else if (key == "max_states") l.states = std::size_t(std::atof(value.c_str()));
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return true;
}
static bool is_possible(const Config& c) {
  return c.threads >= 1 && c.threads <= kMostThreads && c.places >= 1 && c.places <= kMostPlaces && c.blocks >= 1 &&
         c.blocks <= 3 && c.words >= 1 && c.words <= 2 && c.descriptors >= 0 && c.descriptors <= kMostDescriptors &&
         c.doubles >= 0 && c.doubles <= 1;
}

int main(int argc, char** argv) {
  Config c;
  Limits l;
  bool show = true;
  std::string given;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "-q") {
      show = false;
      continue;
    }
    const auto eq = a.find('=');
    if (eq == std::string::npos || !set_option(c, l, a.substr(0, eq), a.substr(eq + 1)) || !is_possible(c)) {
      std::fprintf(stderr, "what is '%s'?\n", argv[i]);
      return 2;
    }
    given += (given.empty() ? "" : " ") + a;
  }
  const auto r = Explorer(SpanModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

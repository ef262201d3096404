// The command line of the model of heap objects' spans; README.md explains the options.
#include <cstdlib>
#include <map>
#include <string>
#include "command_line.h"
#include "heap_spans.h"

using namespace model;
using namespace model::heap_spans;

static const std::map<std::string, int Config::*> kNumbers = {
    {"givers", &Config::givers}, {"spans", &Config::spans}, {"blocks", &Config::blocks}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none}, {"count_first", Mutant::count_first}, {"collect_all", Mutant::collect_all},
    {"peek", Mutant::peek}, {"keep_link", Mutant::keep_link},     {"link_after", Mutant::link_after},
    {"push_always", Mutant::push_always}};

static bool set_option(Config& c, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else return false;
  return c.givers >= 1 && c.givers <= kMostGivers && c.spans >= 1 && c.spans <= kMostSpans && c.blocks >= 1 && c.blocks <= 3;
}

int main(int argc, char** argv) { return run_model<HeapSpanModel, Config>(argc, argv, set_option); }

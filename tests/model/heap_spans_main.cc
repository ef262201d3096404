// The command line of the model of heap objects' spans; README.md explains the options.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include "explore.h"
#include "heap_spans.h"

using namespace model;
using namespace model::heap_spans;

static const std::map<std::string, int Config::*> kNumbers = {
    {"givers", &Config::givers}, {"spans", &Config::spans}, {"blocks", &Config::blocks}};
static const std::map<std::string, Mutant> kMutants = {
    {"none", Mutant::none}, {"count_first", Mutant::count_first}, {"collect_all", Mutant::collect_all},
    {"peek", Mutant::peek}, {"keep_link", Mutant::keep_link},     {"link_after", Mutant::link_after},
    {"push_always", Mutant::push_always}};

static bool set_option(Config& c, Limits& l, const std::string& key, const std::string& value) {
  if (auto it = kNumbers.find(key); it != kNumbers.end()) c.*it->second = std::atoi(value.c_str());
  else if (auto m = kMutants.find(value); key == "mutant" && m != kMutants.end()) c.mutant = m->second;
  else if (key == "max_seconds") l.seconds = std::atof(value.c_str());
  else return false;
  return c.givers >= 1 && c.givers <= kMostGivers && c.spans >= 1 && c.spans <= kMostSpans && c.blocks >= 1 && c.blocks <= 3;
}

int main(int argc, char** argv) {
  Config c;
  Limits l;
  bool show = true;
  std::string given;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto eq = a.find('=');
    if (a == "-q") {
      show = false;
    } else if (eq != std::string::npos && set_option(c, l, a.substr(0, eq), a.substr(eq + 1))) {
      given += (given.empty() ? "" : " ") + a;
    } else {
      std::fprintf(stderr, "what is '%s'?\n", argv[i]);
      return 2;
    }
  }
  const auto r = Explorer(HeapSpanModel(c), l).run();
  const char* verdict = r.found != Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Fault::none;
}

// The command line of a small model: options KEY=VALUE, -q for the verdict alone, max_seconds, max_states. main.cc, whose state has two sizes and which
// walks at random, too, has its own.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

#include "explore.h"

namespace model {

// `set_option(config, key, value)`: false: there is no such option, or not with that value. Status 0: the model holds; 1: it does not; 2: bad options.
template <class Model, class Config, class SetOption>
int run_model(int argc, char** argv, SetOption&& set_option) {
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
    const std::string key = a.substr(0, eq), value = eq == std::string::npos ? "" : a.substr(eq + 1);
    if (eq != std::string::npos && key == "max_seconds") {
      l.seconds = std::atof(value.c_str());
    } else if (eq != std::string::npos && key == "max_states") {
      l.states = std::size_t(std::atof(value.c_str()));
    } else if (eq == std::string::npos || !set_option(c, key, value)) {
      std::fprintf(stderr, "what is '%s'?\n", argv[i]);
      return 2;
    }
    given += (given.empty() ? "" : " ") + a;
  }
  const auto r = Explorer(Model(c), l).run();
  const char* verdict = r.found != Model::Fault::none ? "FAILS" : r.complete ? "holds" : "no fault found (bounded)";
  std::printf("%-24s | %s | %s | %zu states, %zu steps, depth %d, %.1f s\n", verdict, given.c_str(), name(r.found), r.states,
              r.edges, r.depth, r.seconds);
  if (show)
    for (std::size_t i = 0; i < r.trace.size(); ++i) std::printf("  %3zu  %s\n", i + 1, r.trace[i].c_str());
  return r.found != Model::Fault::none;
}

}  // namespace model

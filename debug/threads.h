// The process's threads, as /proc tells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lull::debug {

struct ThreadFigures {
  int id = 0;
  std::string name;
  char state = '?';        // R: running or ready; S, D: waiting
  double cpu_seconds = 0;  // since it started
};
// Those that used the processor most, first; at most `most`.
std::vector<ThreadFigures> busiest_threads(std::size_t most);

}  // namespace lull::debug

// How many threads of the purger this process has.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace lull::testing {

inline int purger_threads() {
  int found = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    found += name == "lull-purge";
  }
  return found;
}

}  // namespace lull::testing

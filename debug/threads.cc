#include "debug/threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace lull::debug {
namespace {

std::string read_of_task(const char* id, const char* file) {
  char text[512];
  const int fd = ::open((std::string("/proc/self/task/") + id + '/' + file).c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : ::read(fd, text, sizeof text);
  if (fd >= 0) ::close(fd);
  return {text, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

// "77 (a name) S 1 ...": a name may have parentheses and blanks.
bool parse_stat(std::string_view stat, ThreadFigures& out) {
  const std::size_t begin = stat.find('('), end = stat.rfind(')');
  if (begin == stat.npos || end == stat.npos || end + 2 >= stat.size()) return false;
  out.name = stat.substr(begin + 1, end - begin - 1);
  out.state = stat[end + 2];
  return true;
}

// Fields 14 and 15 of stat, for kernels without schedstat.
double ticks_of(std::string_view stat) {
  std::string rest(stat.substr(stat.rfind(')') + 1));
  char* at = rest.data();
  for (int field = 3; field < 14 && at != nullptr; ++field) at = std::strchr(at + 1, ' ');
  if (at == nullptr) return 0;
  const double user = std::strtod(at, &at), system = std::strtod(at, nullptr);
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

std::vector<ThreadFigures> busiest_threads(std::size_t most) {
  std::vector<ThreadFigures> found;
  DIR* tasks = ::opendir("/proc/self/task");
  if (tasks == nullptr) return found;
  while (const dirent* entry = ::readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    ThreadFigures t;
    const std::string stat = read_of_task(entry->d_name, "stat");
    if (!parse_stat(stat, t)) continue;  // ended meanwhile
    t.id = std::atoi(entry->d_name);
    const std::string spent = read_of_task(entry->d_name, "schedstat");
    t.cpu_seconds = spent.empty() ? ticks_of(stat) : std::strtod(spent.c_str(), nullptr) * 1e-9;
    found.push_back(std::move(t));
  }
  ::closedir(tasks);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.cpu_seconds > b.cpu_seconds; });
  if (found.size() > most) found.resize(most);
  return found;
}

}  // namespace lull::debug

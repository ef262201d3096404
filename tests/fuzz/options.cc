// The texts that users put into the environment: whatever they are, what is understood lies within its bounds, what is not has no
// effect, and numbers of bytes are what a naive reading says. The files of control groups likewise.
#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "alloc/front/options.h"
#include "alloc/os/cgroup.h"
#include "alloc/pages/memory_limit.h"
#include "gc/model/options.h"
#include "tests/fuzz/input.h"

namespace {

using lull::fuzz::Input;

std::vector<std::string> items_of(const std::string& text) {
  std::vector<std::string> items{""};
  for (char c : text) {
    if (c == ',') items.emplace_back();
    else items.back() += c;
  }
  return items;
}

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

// Of LULL_MALLOC, naively: whole items that are right, in their order.
void check_malloc_options(const std::string& text) {
  lull::front::MallocOptions expected, found;
  bool all = true;
  for (const std::string& item : items_of(text)) {
    if (item.empty()) continue;
    const std::size_t equals = item.find('=');
    const std::string name = item.substr(0, equals), value = equals == item.npos ? (name == "guard" ? "100" : name == "purger" ? "2" : "1") : item.substr(equals + 1);
    const bool fits = is_number(value) && value.size() <= 10 && std::stoll(value) <= (name == "guard" ? 1'000'000'000 : name == "purger" ? 2 : 1);
    if (fits && name == "secure") expected.secure = std::stoll(value);
    else if (fits && name == "guard") expected.guard = std::stoll(value);
    else if (fits && name == "arena") expected.arena = std::stoll(value);
    else if (fits && name == "purger") expected.purger = std::stoll(value);
    else all = false;
  }
  FUZZ_CHECK(lull::front::parse_malloc_options(text.c_str(), found) == all);
  FUZZ_CHECK(found.secure == expected.secure && found.guard == expected.guard && found.arena == expected.arena && found.purger == expected.purger);
}

// A number above 0, perhaps one of K, M, G, T and then an i, perhaps a B.
std::optional<std::size_t> bytes_of(std::string text) {
  if (!text.empty() && (text.back() == 'B' || text.back() == 'b')) text.pop_back();
  unsigned shift = 0;
  const std::size_t unit = text.find_first_of("KMGTkmgt");
  if (unit != text.npos) {
    const std::string after = text.substr(unit + 1);
    if (!after.empty() && after != "i") return {};
    shift = (static_cast<unsigned>(std::string("KMGTkmgt").find(text[unit])) % 4 + 1) * 10;
    text.resize(unit);
  }
  if (!is_number(text)) return {};
  unsigned __int128 bytes = 0;
  for (char c : text) {
    bytes = bytes * 10 + static_cast<unsigned>(c - '0');
    if (bytes > ~std::size_t{0}) return {};
  }
  bytes <<= shift;
  if (bytes == 0 || bytes > ~std::size_t{0}) return {};
  return static_cast<std::size_t>(bytes);
}
void check_bytes(const std::string& text) {
  std::size_t found = 77;
  const auto expected = bytes_of(text);
  FUZZ_CHECK(lull::os::parse_bytes(text.c_str(), found) == expected.has_value());
  FUZZ_CHECK(found == expected.value_or(77));
  FUZZ_CHECK(lull::pages::effective_limit(1000, text.c_str(), lull::os::kNoLimit) == std::min<std::size_t>(1000, expected.value_or(1000)));
}

void check_collector_variable(std::string_view name, const std::string& text) {
  lull::gc::Options options;
  {
    const lull::fuzz::Silence silence;
    lull::gc::parse_variable(name, text.c_str(), options);
  }
  for (const std::int64_t flag : {options.gctrace, options.brake, options.pacertrace, options.scavtrace, options.scribble, options.stw,
                                  options.noconcurrent, options.check_trace, options.check_ptr_location, options.rage, options.tiny, options.noasync,
                                  options.generational, options.manual_finalizers})
    FUZZ_CHECK(flag == 0 || flag == 1);
  for (const std::int64_t count : {options.stress, options.alloctrace, options.idle_seconds}) FUZZ_CHECK(count >= 0 && count <= 1'000'000'000);
  FUZZ_CHECK(options.verify >= 0 && options.verify <= 2);
  FUZZ_CHECK(options.delay >= 0 && options.delay <= 1'000'000);
  FUZZ_CHECK(options.gc_percent >= -1 && options.gc_percent <= 1'000'000);
  const lull::tune_targets& t = options.auto_tune;
  FUZZ_CHECK(std::isfinite(t.cpu_share) && t.cpu_share >= 0);
  FUZZ_CHECK(t.min_percent >= 0 && t.max_percent >= 0);
}

// A file of the tree below the folder; cut at zeros, as nobody writes them there.
void write_file(int folder, const char* path, std::string_view text) {
  for (std::size_t slash = 0; (slash = std::string_view(path).find('/', slash)) != std::string_view::npos; ++slash)
    ::mkdirat(folder, std::string(path, slash).c_str(), 0700);
  const int file = ::openat(folder, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  FUZZ_CHECK(file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(file);
}
// The folder that stands for /, for all inputs; goes with the program.
struct Root {
  Root() { FUZZ_CHECK(::mkdtemp(name) != nullptr); }
  ~Root() { std::filesystem::remove_all(name); }
  char name[sizeof "/tmp/lull-fuzz-XXXXXX"] = "/tmp/lull-fuzz-XXXXXX";
};
void check_control_groups(const std::string& text) {
  static const Root root;
  const int folder = ::open(root.name, O_RDONLY | O_DIRECTORY);
  FUZZ_CHECK(folder >= 0);
  const std::vector<std::string> files = [&] {
    std::vector<std::string> out{""};
    for (char c : text) {
      if (c == '\x01') out.emplace_back();
      else out.back() += c;
    }
    out.resize(5);
    return out;
  }();
  const char* const paths[] = {"proc/self/cgroup", "proc/self/mountinfo", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.high"};
  for (std::size_t i = 0; i < 5; ++i) write_file(folder, paths[i], files[i]);
  ::close(folder);
  errno = 77;
  lull::os::cgroup_memory_limit(root.name);  // any number is a limit
  FUZZ_CHECK(errno == 77);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const std::uint8_t which = in.byte() % 16;
  const std::string text(std::string(in.rest()).c_str());  // the environment has no zeros
  switch (which) {
    case 0: check_malloc_options(text); break;
    case 1: check_bytes(text); break;
    case 2: check_control_groups(text); break;
    case 3: case 4: case 5: check_collector_variable("LULL_DEBUG", text); break;
    case 6: case 7: case 8: check_collector_variable("LULL_AUTO_TUNE", text); break;
    case 9: check_collector_variable("LULL_IDLE_SECONDS", text); break;
    case 10: check_collector_variable("LULL_GENERATIONAL", text); break;
    case 11: check_collector_variable("LULL_FINALIZERS", text); break;
    case 12: check_collector_variable("LULL_MIN_HEAP", text); break;
    default: check_collector_variable("LULL_GC_PERCENT", text); break;
  }
  return 0;
}

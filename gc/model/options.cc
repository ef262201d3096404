#include "gc/model/options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "alloc/os/cgroup.h"
#include "alloc/os/checker.h"
#include "alloc/os/lock.h"

namespace lull::gc {

constinit Options options;

namespace {

struct DebugOption {
  const char* name;
  std::int64_t Options::*field;
};

constexpr DebugOption kDebugOptions[] = {
    {"gctrace", &Options::gctrace},   {"verify", &Options::verify},
    {"brake", &Options::brake}, {"pacertrace", &Options::pacertrace}, {"scavtrace", &Options::scavtrace},
    {"alloctrace", &Options::alloctrace},
    {"scribble", &Options::scribble}, {"stress", &Options::stress}, {"poison", &Options::poison},
    {"stw", &Options::stw},           {"noconcurrent", &Options::noconcurrent},
    {"rage", &Options::rage},         {"check_trace", &Options::check_trace},
    {"noasync", &Options::noasync},   {"check_ptr_location", &Options::check_ptr_location},
    {"tiny", &Options::tiny},         {"delay", &Options::delay},         {"late", &Options::late},
};

bool set_debug_option(const char* name, std::size_t length, std::int64_t value, Options& into) {
  for (const DebugOption& option : kDebugOptions)
    if (std::strlen(option.name) == length && std::memcmp(option.name, name, length) == 0) {
      into.*option.field = value;
      return true;
    }
  if (std::string_view(name, length) == "nogen") {
    into.generational = value == 0;
    return true;
  }
  std::fprintf(stderr, "lull: LULL_DEBUG: unknown option '%.*s'\n", static_cast<int>(length), name);
  return false;
}

void read_percent() {
  const char* text = std::getenv("LULL_GC_PERCENT");
  if (text == nullptr) return;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (std::strcmp(text, "off") == 0) options.gc_percent = -1;
  else if (end != text && *end == '\0' && value <= 1'000'000) options.gc_percent = value < 0 ? -1 : value;  // users of it make it an int
  else std::fprintf(stderr, "lull: LULL_GC_PERCENT: '%s' is neither a number nor 'off'\n", text);
}

void read_generational() {
  const char* text = std::getenv("LULL_GENERATIONAL");
  if (text == nullptr) return;
  if (std::strcmp(text, "0") == 0) options.generational = 0;
  else if (std::strcmp(text, "1") != 0) std::fprintf(stderr, "lull: LULL_GENERATIONAL: '%s' is neither '0' nor '1'\n", text);
}

void read_idle_seconds() {
  const char* text = std::getenv("LULL_IDLE_SECONDS");
  if (text == nullptr) return;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (end != text && *end == '\0' && value >= 0 && value <= 1'000'000'000) options.idle_seconds = value;
  else std::fprintf(stderr, "lull: LULL_IDLE_SECONDS: '%s' is no number of seconds\n", text);
}

void read_finalizers() {
  const char* text = std::getenv("LULL_FINALIZERS");
  if (text == nullptr || std::strcmp(text, "thread") == 0) return;
  if (std::strcmp(text, "manual") == 0) options.manual_finalizers = 1;
  else std::fprintf(stderr, "lull: LULL_FINALIZERS: '%s' is neither 'thread' nor 'manual'\n", text);
}

// "cpu=10" of LULL_AUTO_TUNE. `value` ends with the item.
bool set_tune_target(std::string_view name, const char* value, tune_targets& into) {
  char* end = nullptr;
  if (name == "memory") {
    std::size_t bytes = 0;
    if (!os::parse_bytes(value, bytes)) return false;
    into.memory_bytes = bytes;
    return true;
  }
  const double number = std::strtod(value, &end);
  const std::string_view unit(end);
  if (end == value || !(number >= 0) || number > 1e9) return false;
  if (name == "cpu") into.cpu_share = number / 100;
  else if (name == "latency" && unit == "ms") into.latency_ns = static_cast<std::uint64_t>(number * 1e6);
  else if (name == "latency" && unit == "us") into.latency_ns = static_cast<std::uint64_t>(number * 1e3);
  else if (name == "min") into.min_percent = static_cast<int>(number);
  else if (name == "max") into.max_percent = static_cast<int>(number);
  else return false;
  return name == "latency" || unit.empty() || (name == "cpu" && unit == "%");
}

constinit os::Lock once_lock{os::LockRank::kinds};
constinit bool was_read = false;

}  // namespace

bool parse_debug_options(const char* text, Options& into) {
  bool known = true;
  while (*text != '\0') {
    const std::size_t item = std::strcspn(text, ","), name = std::strcspn(text, "=,");
    const std::int64_t value = name < item ? std::strtoll(text + name + 1, nullptr, 10) : 1;
    if (item > 0) known &= set_debug_option(text, name, value, into);
    text += item;
    if (*text == ',') ++text;
  }
  return known;
}

bool parse_tune_targets(const char* text, tune_targets& into) {
  while (*text != '\0') {
    char item[64];
    const std::size_t length = std::strcspn(text, ",");
    const std::size_t copied = length < sizeof item ? length : sizeof item - 1;
    std::memcpy(item, text, copied);
    item[copied] = '\0';
    const char* value = std::strchr(item, '=');
    if (length > 0 && (value == nullptr || !set_tune_target({item, static_cast<std::size_t>(value - item)}, value + 1, into))) {
      std::fprintf(stderr, "lull: LULL_AUTO_TUNE: '%s' is no target\n", item);
      return false;
    }
    text += length;
    if (*text == ',') ++text;
  }
  return true;
}

void read_options() {
  os::Locked locked(once_lock);
  if (was_read) return;
  was_read = true;
  options.poison = os::checker() != os::Checker::none;
  if (const char* text = std::getenv("LULL_DEBUG")) parse_debug_options(text, options);
  if (const char* text = std::getenv("LULL_AUTO_TUNE")) parse_tune_targets(text, options.auto_tune);
  read_percent();
  read_generational();
  read_idle_seconds();
  read_finalizers();
}

}  // namespace lull::gc

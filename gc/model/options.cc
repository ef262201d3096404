#include "gc/model/options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <string_view>

#include "alloc/base/printable.h"
#include "alloc/os/cgroup.h"
#include "alloc/os/checker.h"

namespace lull::gc {

constinit Options options;

namespace {

struct DebugOption {
  const char* name;
  std::int64_t Options::*field;
  std::int64_t most = 1;  // the least is 0
  bool at_run_time = false;  // may change while the program runs, with the cycle gate: read by cycles alone
};

constexpr std::int64_t kMostCount = 1'000'000'000, kMostDelayUs = 1'000'000;
constexpr DebugOption kDebugOptions[] = {
    {"gctrace", &Options::gctrace, 1, true}, {"verify", &Options::verify, 2},
    {"brake", &Options::brake},       {"pacertrace", &Options::pacertrace, 1, true},
    {"scavtrace", &Options::scavtrace, 1, true}, {"alloctrace", &Options::alloctrace, kMostCount},
    {"scribble", &Options::scribble}, {"stress", &Options::stress, kMostCount}, {"poison", &Options::poison},
    {"stw", &Options::stw},           {"noconcurrent", &Options::noconcurrent},
    {"rage", &Options::rage},         {"check_trace", &Options::check_trace},
    {"noasync", &Options::noasync},   {"check_ptr_location", &Options::check_ptr_location},
    {"tiny", &Options::tiny},         {"delay", &Options::delay, kMostDelayUs}, {"late", &Options::late, kMostCount, true},
};

// The whole text, in decimal; false: it is no number, or out of bounds.
bool parse_number(std::string_view text, std::int64_t least, std::int64_t most, std::int64_t& into) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) return false;
  into = number;
  return true;
}

bool set_debug_option(std::string_view name, std::string_view value, When when, Options& into) {
  for (const DebugOption& option : kDebugOptions)
    if (name == option.name) return (when == When::at_start || option.at_run_time) && parse_number(value, 0, option.most, into.*option.field);
  std::int64_t off = 0;
  if (when != When::at_start || name != "nogen" || !parse_number(value, 0, 1, off)) return false;
  into.generational = 1 - off;
  return true;
}

// "name=value" or "name"; complains about what it does not know.
bool set_debug_option(std::string_view item, When when, Options& into) {
  const std::size_t name = std::min(item.find('='), item.size());
  if (set_debug_option(item.substr(0, name), name < item.size() ? item.substr(name + 1) : "1", when, into)) return true;
  if (when == When::running) std::fprintf(stderr, "lull: set_debug: '%s' is nothing that can be set while the program runs\n", Printable(item, 80).c_str());
  else std::fprintf(stderr, "lull: LULL_DEBUG: cannot make sense of '%s'\n", Printable(item, 80).c_str());
  return false;
}

// Of single variables: false is a complaint.
bool parse_percent(const char* text, Options& into) {
  std::int64_t percent = 0;
  const bool is_negative = text[0] == '-' && text[1] != '\0' && text[1 + std::strspn(text + 1, "0123456789")] == '\0';  // however long
  if (is_negative || std::strcmp(text, "off") == 0) percent = -1;
  else if (!parse_number(text, 0, 1'000'000, percent)) return false;  // users of it make it an int
  into.gc_percent = percent;
  return true;
}
bool parse_min_heap(const char* text, Options& into) {
  std::size_t bytes = 0;
  if (!os::parse_bytes(text, bytes)) return false;
  into.min_heap_bytes = bytes;
  return true;
}
bool parse_generational(const char* text, Options& into) { return parse_number(text, 0, 1, into.generational); }
bool parse_idle_seconds(const char* text, Options& into) { return parse_number(text, 0, 1'000'000'000, into.idle_seconds); }
bool parse_finalizers(const char* text, Options& into) {
  into.manual_finalizers = std::strcmp(text, "manual") == 0;
  return into.manual_finalizers || std::strcmp(text, "thread") == 0;
}

struct Variable {
  const char* name;
  bool (*parse)(const char* text, Options& into);
  const char* what;  // it is not, when it makes no sense; null: its parser has said so
};
constexpr Variable kVariables[] = {
    {"LULL_DEBUG", [](const char* text, Options& into) { return parse_debug_options(text, into); }, nullptr},
    {"LULL_AUTO_TUNE", [](const char* text, Options& into) { return parse_tune_targets(text, into.auto_tune); }, nullptr},
    {"LULL_GC_PERCENT", parse_percent, "neither a number nor 'off'"},
    {"LULL_MIN_HEAP", parse_min_heap, "no number of bytes"},
    {"LULL_GENERATIONAL", parse_generational, "neither '0' nor '1'"},
    {"LULL_IDLE_SECONDS", parse_idle_seconds, "no number of seconds"},
    {"LULL_FINALIZERS", parse_finalizers, "neither 'thread' nor 'manual'"},
};

// "cpu=10" of LULL_AUTO_TUNE. `value` ends with the item. What makes no sense has no effect.
bool set_tune_target(std::string_view name, const char* value, tune_targets& into) {
  if (name == "memory") {
    std::size_t bytes = 0;
    if (!os::parse_bytes(value, bytes)) return false;
    into.memory_bytes = bytes;
    return true;
  }
  double number = 0;
  const auto [end, error] = std::from_chars(value, value + std::strlen(value), number);  // whatever the locale's decimal point is
  if (error != std::errc() || !(number >= 0) || number > 1e9) return false;
  const std::string_view unit(end);
  if (name == "cpu" && (unit.empty() || unit == "%")) into.cpu_share = number / 100;
  else if (name == "latency" && unit == "ms") into.latency_ns = static_cast<std::uint64_t>(number * 1e6);
  else if (name == "latency" && unit == "us") into.latency_ns = static_cast<std::uint64_t>(number * 1e3);
  else if (name == "min" && unit.empty()) into.min_percent = static_cast<int>(number);
  else if (name == "max" && unit.empty()) into.max_percent = static_cast<int>(number);
  else return false;
  return true;
}

void read_environment() {
  options.poison = os::checker() != os::Checker::none;
  for (const Variable& v : kVariables)
    if (const char* text = std::getenv(v.name)) parse_variable(v.name, text, options);
}

// Not a lock of ours: a child of a fork that falls into this finds it as if it had not begun.
constinit pthread_once_t read_once = PTHREAD_ONCE_INIT;

}  // namespace

bool parse_debug_options(const char* text, Options& into, When when) {
  bool known = true;
  while (*text != '\0') {
    const std::size_t item = std::strcspn(text, ",");
    if (item > 0) known &= set_debug_option({text, item}, when, into);
    text += item;
    if (*text == ',') ++text;
  }
  return known;
}

bool parse_tune_targets(const char* text, tune_targets& into) {
  while (*text != '\0') {
    char item[64];
    const std::size_t length = std::strcspn(text, ","), copied = std::min(length, sizeof item - 1);
    std::memcpy(item, text, copied);
    item[copied] = '\0';
    const char* value = std::strchr(item, '=');
    const bool is_whole = copied == length && value != nullptr;
    if (length > 0 && !(is_whole && set_tune_target({item, static_cast<std::size_t>(value - item)}, value + 1, into))) {
      std::fprintf(stderr, "lull: LULL_AUTO_TUNE: '%s' is no target\n", Printable(item).c_str());
      return false;
    }
    text += length;
    if (*text == ',') ++text;
  }
  return true;
}

bool parse_variable(std::string_view name, const char* text, Options& into) {
  for (const Variable& v : kVariables) {
    if (name != v.name) continue;
    const bool is_sense = v.parse(text, into);
    if (!is_sense && v.what != nullptr) std::fprintf(stderr, "lull: %s: '%s' is %s\n", v.name, Printable(text, 80).c_str(), v.what);
    return is_sense;
  }
  return false;
}

void read_options() {
  pthread_once(&read_once, read_environment);
}

}  // namespace lull::gc

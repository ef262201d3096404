#include "gc/model/options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

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
    {"pacertrace", &Options::pacertrace}, {"scavtrace", &Options::scavtrace},
    {"alloctrace", &Options::alloctrace},
    {"scribble", &Options::scribble}, {"stress", &Options::stress},
    {"stw", &Options::stw},           {"noconcurrent", &Options::noconcurrent},
    {"rage", &Options::rage},         {"check_trace", &Options::check_trace},
    {"noasync", &Options::noasync},   {"check_ptr_location", &Options::check_ptr_location},
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

void read_finalizers() {
  const char* text = std::getenv("LULL_FINALIZERS");
  if (text == nullptr || std::strcmp(text, "thread") == 0) return;
  if (std::strcmp(text, "manual") == 0) options.manual_finalizers = 1;
  else std::fprintf(stderr, "lull: LULL_FINALIZERS: '%s' is neither 'thread' nor 'manual'\n", text);
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

void read_options() {
  os::Locked locked(once_lock);
  if (was_read) return;
  was_read = true;
  if (const char* text = std::getenv("LULL_DEBUG")) parse_debug_options(text, options);
  read_percent();
  read_generational();
  read_finalizers();
}

}  // namespace lull::gc

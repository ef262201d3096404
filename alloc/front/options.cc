#include "alloc/front/options.h"

#include <atomic>
#include <cstring>
#include <iterator>

#include "alloc/os/checker.h"
#include "alloc/os/environment.h"

namespace lull::front {
namespace {

struct Option {
  const char* name;
  std::int64_t MallocOptions::*field;
  std::int64_t least, most, alone;
};
constexpr Option kOptions[] = {
    {"secure", &MallocOptions::secure, 0, 1, 1},
    {"guard", &MallocOptions::guard, 0, 1'000'000'000, 100},
    {"arena", &MallocOptions::arena, 0, 1, 1},
    {"purger", &MallocOptions::purger, 0, 2, 2},
};

struct Text {
  const char* at;
  std::size_t length;
  bool operator==(const char* other) const { return std::strlen(other) == length && std::memcmp(at, other, length) == 0; }
};

// Digits only, and few enough.
bool parse_number(Text text, std::int64_t& number) {
  if (text.length == 0 || text.length > 10) return false;
  number = 0;
  for (std::size_t i = 0; i < text.length; ++i) {
    if (text.at[i] < '0' || text.at[i] > '9') return false;
    number = number * 10 + (text.at[i] - '0');
  }
  return true;
}

bool set_option(Text name, bool has_value, Text value, MallocOptions& into) {
  for (const Option& option : kOptions) {
    if (!(name == option.name)) continue;
    std::int64_t number = option.alone;
    if (has_value && (!parse_number(value, number) || number < option.least || number > option.most)) return false;
    into.*option.field = number;
    return true;
  }
  return false;
}

// Returns the first item that is wrong; its `at` is null when there is none.
Text parse(const char* text, MallocOptions& into) {
  Text wrong{nullptr, 0};
  for (;;) {
    const Text item{text, std::strcspn(text, ",")};
    const std::size_t name = std::min(std::strcspn(text, "="), item.length);
    const bool has_value = name < item.length;
    const Text value = has_value ? Text{text + name + 1, item.length - name - 1} : Text{text, 0};
    if (item.length > 0 && !set_option({text, name}, has_value, value, into) && wrong.at == nullptr) wrong = item;
    text += item.length;
    if (*text == '\0') return wrong;
    ++text;
  }
}

constexpr std::int64_t kUnread = -1;
constinit std::atomic<std::int64_t> values[] = {kUnread, kUnread, kUnread, kUnread};  // of kOptions; the first writer wins
static_assert(std::size(values) == std::size(kOptions));
constinit std::atomic<bool> was_read{false}, complained{false};

// Threads that come here at once agree on one's findings, also if the environment changed in between.
void read_environment() {
  MallocOptions found;
  found.secure = os::find_checker() != os::Checker::none;  // each block on a slow path, and late to be used again
  if (const char* text = os::environment_variable("LULL_MALLOC")) {
    const Text wrong = parse(text, found);
    if (wrong.at != nullptr && !complained.exchange(true, std::memory_order_relaxed)) os::complain_of_variable("LULL_MALLOC", {wrong.at, wrong.length});
  }
  for (std::size_t i = 0; i < std::size(kOptions); ++i) {
    std::int64_t expected = kUnread;
    values[i].compare_exchange_strong(expected, found.*kOptions[i].field, std::memory_order_relaxed);
  }
  was_read.store(true, std::memory_order_release);  // pairs with malloc_options()
}

}  // namespace

bool parse_malloc_options(const char* text, MallocOptions& into) { return parse(text, into).at == nullptr; }

MallocOptions malloc_options() {
  if (!was_read.load(std::memory_order_acquire)) read_environment();
  MallocOptions options;
  for (std::size_t i = 0; i < std::size(kOptions); ++i) options.*kOptions[i].field = values[i].load(std::memory_order_relaxed);
  return options;
}

}  // namespace lull::front

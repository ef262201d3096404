#include "lull/library.h"

#include <dlfcn.h>

#include "gc/model/loaded_code.h"
#include "gc/cycle/driver.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/report/all_objects.h"
#include "lull/collect.h"

namespace lull::gc {
namespace {

// How many objects of types of the library there are. Not what the classes have counted, since threads tell them late.
class Count {
 public:
  explicit Count(const LoadedCode& code) : code_(code) {}

  void run() {
    collect_and_run_stopped([](void* data) { static_cast<Count*>(data)->see_all(); }, this);
  }
  const library_use& found() const { return found_; }

 private:
  void see_all() {
    for_each_object([&](const pages::Span& span, std::uint32_t) { see(kind_of(span)); });
  }
  // Objects of a kind lie side by side.
  void see(const Kind& kind) {
    if (&kind != last_) last_is_its_ = is_kind_of_library(*record_of_copy(kind), code_.begin, code_.end);
    last_ = &kind;
    if (!last_is_its_) return;
    found_.type = kind.name;
    ++found_.objects;
  }

  const LoadedCode code_;
  library_use found_;
  const Kind* last_ = nullptr;
  bool last_is_its_ = false;
};

library_use collect_and_count(const LoadedCode& code) {
  Count count(code);
  count.run();
  return count.found();
}

void finish_destructors() {
  if (options.manual_finalizers != 0) run_finalizers();
  else wait_for_finalizers();
}

// An object with a destructor takes two cycles, its callbacks one more, and theirs another.
constexpr int kCyclesWithoutProgress = 4;

library_use free_objects_of(const LoadedCode& code) {
  library_use left = collect_and_count(code);
  for (int idle = 0; left.objects != 0 && idle < kCyclesWithoutProgress;) {
    finish_destructors();
    const library_use now = collect_and_count(code);
    idle = now.objects < left.objects ? 0 : idle + 1;
    left = now;
  }
  return left;
}

}  // namespace
}  // namespace lull::gc

namespace lull {

library_use close_library(void* library) {
  if (library == nullptr) fatal("lull::close_library: no library");
  gc::self();
  const gc::LoadedCode code = gc::loaded_code_of(library);
  const library_use left = code.end == 0 ? library_use{} : gc::free_objects_of(code);
  if (left.objects != 0) return left;
  ::dlclose(library);
  gc::RuntimeSection section(gc::self());
  gc::retire_unloaded_kinds();
  return {};
}

}  // namespace lull

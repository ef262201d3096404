// lull/tune.h.
#include "lull/tune.h"

#include "gc/cycle/pacing.h"
#include "gc/mutator/runtime_section.h"

namespace lull {

bool auto_tune(const tune_targets& targets) {
  gc::RuntimeSection section(gc::self());
  return gc::pacing.tune(targets);
}

std::size_t read_tune_log(tune_action* out, std::size_t most) {
  gc::RuntimeSection section(gc::self());
  return gc::pacing.tune_log(out, most);
}

}  // namespace lull

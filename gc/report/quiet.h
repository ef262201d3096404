// For functions of reports that take locks on whatever thread: an attached one refuses the handshake signal meanwhile. One that is
// not attached, or blocked, gets none.
#pragma once

#include <optional>

#include "gc/mutator/runtime_section.h"

namespace lull::gc {

class [[nodiscard]] Quiet {
 public:
  Quiet() {
    Mutator* m = self_or_null();
    if (m != nullptr && m->blocked_depth == 0) section_.emplace(*m);
  }
  // Whether the thread's own cache may be touched.
  explicit operator bool() const { return section_.has_value(); }

 private:
  std::optional<RuntimeSection> section_;
};

}  // namespace lull::gc

// The sampled sites with the names of their functions, for what people read: folded stacks and the table of short-lived sites.
#pragma once

#include <span>

#include "alloc/sample/symbols.h"
#include "gc/report/object_samples.h"

namespace lull::gc {

class NamedSites {
 public:
  NamedSites();
  bool is_usable() const { return symbols_.is_usable(); }
  // Calls visit(site, frames): return addresses, innermost first, from the function of the program that asked for the object.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for_each_site([&](const Site& site) { visit(site, frames_of(site)); });
  }
  // Of a call before this return address. Empty: unknown.
  std::string_view name_of(std::uintptr_t frame) const { return symbols_.name_of(frame - 1); }

 private:
  std::span<const std::uintptr_t> frames_of(const Site& site) const;
  sample::Symbols symbols_;
};

// Whether `name`, mangled, is a function that lies between the program and the allocator.
bool is_of_the_allocator(std::string_view name);

}  // namespace lull::gc

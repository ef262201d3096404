#include "gc/model/loaded_code.h"

#include <dlfcn.h>
#include <link.h>

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
#define LULL_HAS_FIND_OBJECT 1
#pragma weak _dl_find_object  // a program may run with another C library than it was built with
#endif

namespace lull::gc {

#ifdef LULL_HAS_FIND_OBJECT
namespace {

bool find(const void* address, dl_find_object& found) {
  return _dl_find_object != nullptr && _dl_find_object(const_cast<void*>(address), &found) == 0;
}
LoadedCode range_of(const dl_find_object& found) {
  return {reinterpret_cast<std::uintptr_t>(found.dlfo_map_start), reinterpret_cast<std::uintptr_t>(found.dlfo_map_end)};
}

}  // namespace

LoadedCode loaded_code_at(const void* address) {
  dl_find_object found;
  return find(address, found) ? range_of(found) : LoadedCode{};
}

LoadedCode unloadable_code_at(const void* address) {
  dl_find_object found;
  if (!find(address, found) || found.dlfo_link_map->l_prev == nullptr) return {};  // the first of its namespace: the program
  const LoadedCode code = range_of(found);
  return code.contains(reinterpret_cast<const void*>(&unloadable_code_at)) ? LoadedCode{} : code;
}

// Every library has a dynamic section.
LoadedCode loaded_code_of(void* library) {
  link_map* map = nullptr;
  return ::dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 ? loaded_code_at(map->l_ld) : LoadedCode{};
}
#else
LoadedCode loaded_code_at(const void*) { return {}; }
LoadedCode unloadable_code_at(const void*) { return {}; }
LoadedCode loaded_code_of(void*) { return {}; }
#endif

}  // namespace lull::gc

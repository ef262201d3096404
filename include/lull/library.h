// Unloading a library (dlclose) in which types of managed objects are defined.
//
// The code of a type, its trace() and its destructor, is called as long as there are objects of it, which is longer than they are used:
// an object goes some time after it has become unreachable, and its destructor runs some time after that. So who unloads a plugin
// that has allocated objects of types of its own
//   1. has it drop what it holds: its roots, among them global ones, which otherwise live until dlclose() destroys them; and take back functions
//      that it has given to the collector (lull_add_root_function, lull_set_event_function, callbacks of C's, guardians, lull::heap_dump's and others)
//   2. lets no thread run its code or keep references to its objects
//   3. calls close_library() instead of dlclose().
//
// A library is closed with dlclose() as ever if it has no types of its own with managed objects, or no objects of them are
// left. If there are some, the next cycle stops the process and names the type. A library that is loaded again after it was
// unloaded takes over what the collector knows of its types, so doing so for ever needs no memory.
//
// Only the library's own types are looked at, not those of others that it brings along: whoever wants these to go, too, opens and closes each.
//
// Types with external linkage that gcc has compiled without -fvisibility=hidden or -fno-gnu-unique never go: the C library keeps such
// a library loaded whatever is closed, and all of the above is harmless.
#pragma once

#include <cstddef>
#include <string_view>

namespace lull {

// What keeps a library loaded.
struct library_use {
  std::size_t objects = 0;  // of types of the library; 0: it has been closed
  std::string_view type;    // of one of them; stays valid
};

// Collects and runs destructors until no object of the library's types is left, and calls dlclose(library) then; `library` is what dlopen()
// has returned. If some objects stay, since something still refers to them, or a word on a stack looks as if it did, the library stays loaded: try again
// later. Runs full cycles, at most as many as free something and a few more, and stops all threads for a moment after each. With
// LULL_FINALIZERS=manual it runs destructors on the calling thread. Blocks; must not be called by a destructor or from a trace().
library_use close_library(void* library);

}  // namespace lull

// What the test plugin (plugin.cc) and those who load it agree on.
#pragma once

#include "lull/lull.h"

namespace lull::testing {

// Objects of the plugin's types that its global roots hold; each refers to `target`.
struct PluginFunctions {
  void (*hold)(const void* target);           // one with a trace function, young or not
  void (*hold_many)(const void* target);      // arrays, a large array, one that is scanned conservatively
  void (*hold_destroyed)(int* destroyed);     // one whose destructor adds 1 to *destroyed
  void (*hold_of_others)(const void* target);  // no object of the plugin's: a global root of the target itself
  const void* (*target)();                    // what hold() was given, found through the object
  void (*drop)();                             // all but what hold_of_others() holds
};

}  // namespace lull::testing

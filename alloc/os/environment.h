#pragma once

namespace lull::os {

// As getenv(), also before the C library has set it up: the dynamic loader runs a program's .preinit_array before that. nullptr:
// not set, or not to be found yet.
const char* environment_variable(const char* name);

}  // namespace lull::os

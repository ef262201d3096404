#pragma once

#include <string_view>

namespace lull::os {

// As getenv(), also before the C library has set it up: the dynamic loader runs a program's .preinit_array before that. nullptr:
// not set, or not to be found yet.
const char* environment_variable(const char* name);

// One line on standard error, whole and harmless to a terminal, whatever the text is: "lull: NAME: cannot make sense of 'TEXT'".
void complain_of_variable(const char* name, std::string_view text);

}  // namespace lull::os

// The body of /api/samples: who the program is, its samples, largest types and busiest threads.
#pragma once

#include <string>

#include "debug/samples.h"

namespace lull::debug {

std::string command_line();  // parts separated by 0
void write_snapshot(const text_sink& to, Samples& samples, std::uint64_t after);

}  // namespace lull::debug

// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace index_service {

std::string format_count(double value);         // 12,345
std::string format_duration(std::uint64_t ns);  // 850 ns, 12.3 us, 4.56 ms, 1.20 s
std::string format_bytes(std::uint64_t bytes);  // 312.4 MiB
std::string format_percent(double share);       // 12.3 %
std::string format_fixed(double value, int digits);

}  // namespace index_service

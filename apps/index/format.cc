#include "apps/index/format.h"

#include <cstdio>

namespace index_service {

std::string format_fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string format_count(double value) {
  std::string text = format_fixed(value, 0);
  for (std::size_t at = text.size(); at > 3 && text[at - 4] != '-';) text.insert(at -= 3, 1, ',');
  return text;
}

std::string format_duration(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns < 1'000) return format_fixed(value, 0) + " ns";
  if (ns < 1'000'000) return format_fixed(value * 1e-3, ns < 100'000 ? 1 : 0) + " us";
  if (ns < 1'000'000'000) return format_fixed(value * 1e-6, 2) + " ms";
  return format_fixed(value * 1e-9, 2) + " s";
}

std::string format_bytes(std::uint64_t bytes) {
  return format_fixed(static_cast<double>(bytes) / (1024.0 * 1024.0), 1) + " MiB";
}

std::string format_percent(double share) { return format_fixed(share * 100, 1) + " %"; }

}  // namespace index_service

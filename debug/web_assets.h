// The page's files, which cmake/embed_files.cmake turns into a source file.
#pragma once

#include <span>
#include <string_view>

namespace lull::debug {

struct Asset {
  std::string_view path, type, contents;
};
std::span<const Asset> assets();

}  // namespace lull::debug

#include "apps/index/function_names.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

namespace index_service {
namespace {

std::string without_brackets(const std::string& text, char open, char close) {
  std::string kept;
  int depth = 0;
  for (const char c : text) {
    if (c == open) ++depth;
    if (depth == 0) kept += c;
    if (c == close && depth > 0) --depth;
  }
  return kept;
}

void erase_all(std::string& text, std::string_view part) {
  for (std::size_t at; (at = text.find(part)) != text.npos;) text.erase(at, part.size());
}

/// "a::b::c::d" -> "c::d"
std::string last_two_parts(const std::string& name) {
  std::size_t at = name.rfind("::");
  if (at != name.npos && at > 0) at = name.rfind("::", at - 1);
  return at == name.npos ? name : name.substr(at + 2);
}

std::string demangled(const std::string& name) {
  if (!name.starts_with("_Z")) return name;  // "f" would be float
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 && text != nullptr ? text.get() : name;
}

bool starts_a_thread(const std::string& frame) {
  constexpr std::array kNames = {"clone", "start_thread", "_State_impl", "execute_native_thread_routine", "0x", "__invoke", "_Invoker", "_start",
                                 "__libc_start"};
  return std::ranges::any_of(kNames, [&](const char* name) { return frame.find(name) != frame.npos; });
}

}  // namespace

std::string readable_type(const std::string& type) {
  std::string name = type;
  for (const char* noise : {"index_service::", "lull::", "(anonymous namespace)::", "{anonymous}::", "<LullMemory>", "LullMemory, "})
    erase_all(name, noise);
  for (const char* after_space : {" []", " >"})
    for (std::size_t at; (at = name.find(after_space)) != name.npos;) name.erase(at, 1);
  return name;
}

std::string readable_function(const std::string& name) {
  std::string text = demangled(name);
  erase_all(text, "(anonymous namespace)::");
  erase_all(text, " const");
  for (std::size_t at; (at = text.find("{lambda")) != text.npos;) {  // "{lambda(int)#1}"
    const std::size_t end = text.find('}', at);
    text.replace(at, end == text.npos ? text.npos : end - at + 1, "lambda");
  }
  text = without_brackets(without_brackets(text, '<', '>'), '(', ')');
  if (const std::size_t clone = text.find(" ["); clone != text.npos) text.resize(clone);  // [clone .cold]
  if (const std::size_t result = text.rfind(' '); result != text.npos) text = text.substr(result + 1);
  return last_two_parts(text);
}

std::string readable_stack(const std::string& folded) {
  std::string readable;
  bool started = false;
  for (std::size_t from = 0; from <= folded.size();) {
    const bool is_type = folded[from] == '[';  // the last: names may contain semicolons no more than others
    const std::size_t end = is_type ? folded.size() : std::min(folded.find(';', from), folded.size());
    const std::string frame = folded.substr(from, end - from);
    from = end + 1;
    const std::string name = is_type ? '[' + readable_type(frame.substr(1, frame.size() - 2)) + ']' : readable_function(frame);
    if (!started && !is_type && starts_a_thread(name)) continue;
    started = true;
    if (!readable.empty()) readable += ';';
    readable += name;
  }
  return readable;
}

}  // namespace index_service

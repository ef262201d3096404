// Names of functions and types as people know them: without parameters, the namespaces of this program and its memory policy;
// functions without template arguments.
#pragma once

#include <string>

namespace index_service {

std::string readable_type(const std::string& type);
/// Of a mangled name, an address, or any other text.
std::string readable_function(const std::string& name);
/// "outermost;...;innermost;[type]", without the frames that start every thread.
std::string readable_stack(const std::string& folded);

}  // namespace index_service

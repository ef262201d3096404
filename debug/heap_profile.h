// The answers of /debug/pprof/heap and /debug/pprof/allocs: what lull holds, in pprof's format or as text.
//
// Blocks of malloc are there with the stacks of those that were sampled (lull/profile.h: none unless somebody samples). Managed
// objects are there by type, counted exactly, each under a frame that says so.
#pragma once

#include <string>

namespace lull::debug {

enum class ProfileView { inuse, allocated };  // which figures pprof shows unless asked
// Empty: errno says why.
std::string heap_profile(ProfileView view);
std::string heap_profile_text();

}  // namespace lull::debug

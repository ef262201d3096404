# Flags shared by every target of the project; users of the installed package get none of them.
add_library(lull_flags INTERFACE)
if(LULL_CHECKS STREQUAL "debug")  # for those who work on it; who builds it to use it may have a compiler that warns of more
  set(lull_werror -Werror)
endif()
target_compile_options(lull_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow ${lull_werror} -fno-omit-frame-pointer)
if(LULL_SANITIZE)
  target_compile_options(lull_flags INTERFACE -fsanitize=${LULL_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(lull_flags INTERFACE -fsanitize=${LULL_SANITIZE})
  if(LULL_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(lull_flags INTERFACE -Wno-tsan)  # gcc warns that TSan does not model fences; no fence carries a proof here
  endif()
endif()
if(LULL_SANITIZE MATCHES "undefined")
  # The marker may trace an object whose constructor has not set the vptr yet; the call is qualified and needs none.
  target_compile_options(lull_flags INTERFACE -fno-sanitize=vptr)
endif()
if(LULL_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(lull_flags INTERFACE -Wno-maybe-uninitialized)  # false alarms in <regex> under gcc 12's sanitizers
endif()
if(LULL_CHECKS STREQUAL "debug")
  target_compile_definitions(lull_flags INTERFACE LULL_DEBUG_CHECKS=1)
endif()

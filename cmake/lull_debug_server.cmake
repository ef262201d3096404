# lull::debug, where cpp-httplib is: Debian's libcpp-httplib-dev, or another version with the same Server::process_request.
include(CheckCXXSourceCompiles)
include(GNUInstallDirs)
find_package(PkgConfig)
if(PkgConfig_FOUND)
  pkg_check_modules(LULL_HTTPLIB QUIET cpp-httplib)
endif()
set(LULL_HTTPLIB_FLAGS ${LULL_HTTPLIB_CFLAGS_OTHER})
if(LULL_HTTPLIB_FOUND)
  set(CMAKE_REQUIRED_FLAGS "-std=c++20")
  set(CMAKE_REQUIRED_DEFINITIONS ${LULL_HTTPLIB_FLAGS})
  set(CMAKE_REQUIRED_LIBRARIES cpp-httplib Threads::Threads)
  check_cxx_source_compiles("
    #include <httplib.h>
    struct Probe : httplib::Server {
      bool run(httplib::Stream& stream) { bool closed; return process_request(stream, true, closed, [](httplib::Request&) {}); }
    };
    int main() { Probe probe; return probe.is_valid() ? 0 : 1; }" LULL_HAS_HTTPLIB)
  unset(CMAKE_REQUIRED_FLAGS)
  unset(CMAKE_REQUIRED_DEFINITIONS)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
option(LULL_DEBUG_SERVER "Build lull::debug, the debug server (needs cpp-httplib)" ${LULL_HAS_HTTPLIB})
if(LULL_DEBUG_SERVER AND NOT LULL_HAS_HTTPLIB)
  message(FATAL_ERROR "LULL_DEBUG_SERVER needs cpp-httplib with pkg-config's file (Debian: libcpp-httplib-dev)")
elseif(LULL_DEBUG_SERVER)
  add_subdirectory(debug)
else()
  message(STATUS "no cpp-httplib: lull::debug is not built")
endif()

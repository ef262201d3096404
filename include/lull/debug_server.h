// lull::debug_server: a running program answers over HTTP what it is doing. A component of its own: link lull::debug.
//
//   lull::debug_server::start({.port = 6060});
//
//   /                          a page that shows heap, allocation, pauses and threads, and changes each second
//   /debug/pprof/heap, allocs  for `go tool pprof http://localhost:6060/debug/pprof/heap`; ?debug=1: text
//   /debug/vars, /metrics      expvar's JSON, Prometheus' text (lull/metrics_export.h)
//   /debug/trace?seconds=5     a timeline for ui.perfetto.dev (lull/timeline.h)
//   POST /debug/gc             a full cycle
//   /api/samples               what the page reads; docs/debug_server.md
//
// It listens on 127.0.0.1 unless told otherwise, and has no passwords: whoever reaches the port learns the program's types, threads and
// command line and may make it collect. A web page of another origin reaches nothing, not by another name for this address either.
//
// One server a process, on threads of its own that block all signals and never attach (but for POST /debug/gc), so no handshake
// waits for it. Once a second it reads the metrics, some microseconds. In a forked child there is no server; it may start one.
// At the program's exit it stops, whoever is connected.
#pragma once

#include <cstdint>

namespace lull::debug_server {

struct options {
  const char* address = "127.0.0.1";  // an IP address; "::1"; "0.0.0.0" or "::": every host that reaches this one
  std::uint16_t port = 0;             // 0: one that is free; port() says which
  const char* host_name = nullptr;    // a name under which browsers may ask, besides localhost and IP addresses
};

// False: errno says why. EADDRINUSE: the port is taken; EALREADY: a server runs; EINVAL: not an IP address.
bool start(const options& with = {});
// Answers that are being given have half a second to be taken, then connections are cut. Not from a destructor or callback that POST /debug/gc waits for.
void stop();
// 0: no server.
std::uint16_t port();

}  // namespace lull::debug_server

// What there is to ask for.
#pragma once

#include "debug/listener.h"
#include "debug/message.h"
#include "debug/samples.h"

namespace lull::debug {

class Routes {
 public:
  Routes(Samples& samples, StopSignal& stopping);
  Response answer(const Request& request);

 private:
  struct Route {
    const char* method;  // GET answers HEAD, too
    const char* path;
    const char* what;  // for the index; nullptr: not in it
    Response (Routes::*handle)(const Request&);
  };
  static const Route kRoutes[];

  Response index(const Request&);
  Response heap(const Request&);
  Response allocs(const Request&);
  Response command_line(const Request&);
  Response prometheus(const Request&);
  Response expvar(const Request&);
  Response trace(const Request&);
  Response collect(const Request&);
  Response api_samples(const Request&);

  Samples& samples_;
  StopSignal& stopping_;
  std::atomic<bool> traces_{false};  // one request at a time records a timeline
};

}  // namespace lull::debug

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
  void end_recordings_in_child();  // what requests had begun at the fork

 private:
  struct Route {
    const char* method;  // GET answers HEAD, too
    const char* path;
    const char* what;  // for the index; nullptr: not in it
    Response (Routes::*handle)(const Request&);
  };
  static const Route kRoutes[];

  // Something that records for a while, for one request at a time.
  struct Recording {
    bool (*is_on)();
    void (*start)();
    void (*stop)();
    std::uint32_t (*run)();  // another one after each start, by whomever
    double usual_seconds, usual_seconds_on;  // where the request does not say; where the program records already
    std::atomic<bool> claimed{false};
    std::atomic<bool> to_end{false};  // by who has claimed it
    std::atomic<std::uint32_t> begun{0};  // the run to end; 0: whichever it is

    void begin();
    void end();
  };
  Response record(const Request& request, Recording& recording, const std::function<Response()>& write);

  Response route_of(const Request& request);
  Response index(const Request&);
  Response heap(const Request&);
  Response allocs(const Request&);
  Response command_line(const Request&);
  Response symbol(const Request&);
  Response prometheus(const Request&);
  Response expvar(const Request&);
  Response trace(const Request&);
  Response objects(const Request&);
  Response collect(const Request&);
  Response api_samples(const Request&);

  Samples& samples_;
  StopSignal& stopping_;
  Recording timeline_, objects_;
};

}  // namespace lull::debug

// lull::debug_server: one server at a time, and what becomes of it in a forked child and at exit.
#include <pthread.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

#include "debug/guard.h"
#include "debug/http.h"
#include "debug/listener.h"
#include "debug/routes.h"
#include "lull/debug_server.h"

namespace lull::debug {
namespace {

class Server {
 public:
  explicit Server(const debug_server::options& with)
      : own_name_(with.host_name == nullptr ? "" : with.host_name),
        listener_({.serve = [this](int fd) { http_.serve(fd); }, .tick = [this] { samples_.take(); }}),
        routes_(samples_, listener_.stopping()),
        http_([this](const Request& request) { return answer(request); }) {
    samples_.take();  // what the first sample is compared with
  }
  Listener& listener() { return listener_; }

 private:
  Response answer(const Request& request) {
    if (auto refused = refusal(request, own_name_)) return *std::move(refused);
    return routes_.answer(request);
  }

  const std::string own_name_;
  Samples samples_;
  Listener listener_;
  Routes routes_;
  Http http_;
};

// Not destroyed at exit: it has stopped by then, and stop() may come later from other destructors.
struct State {
  std::mutex mutex;
  std::unique_ptr<Server> server;  // with mutex
};
State& state() {
  static State& s = *new State;
  return s;
}

void lock_for_fork() {
  state().mutex.lock();
  if (state().server) state().server->listener().lock_for_fork();
}
void unlock_after_fork() {
  if (state().server) state().server->listener().unlock_after_fork();
  state().mutex.unlock();
}
// The threads did not come along, so nothing of them can be destroyed: only what they had open is closed.
void forget_in_child() {
  if (Server* server = state().server.release()) {
    server->listener().forget_in_child();
    server->listener().unlock_after_fork();
  }
  state().mutex.unlock();
}

void prepare_for_fork_and_exit() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::pthread_atfork(lock_for_fork, unlock_after_fork, forget_in_child);
    std::atexit(debug_server::stop);
  });
}

}  // namespace
}  // namespace lull::debug

namespace lull::debug_server {

bool start(const options& with) try {
  debug::State& state = debug::state();
  const std::lock_guard lock(state.mutex);
  if (state.server) {
    errno = EALREADY;
    return false;
  }
  auto server = std::make_unique<debug::Server>(with);
  debug::prepare_for_fork_and_exit();  // behind the first use of the HTTP library: exit runs this in the opposite order
  if (!server->listener().start(with.address, with.port)) return false;
  state.server = std::move(server);
  return true;
} catch (const std::bad_alloc&) {
  errno = ENOMEM;
  return false;
}

void stop() {
  debug::State& state = debug::state();
  const std::lock_guard lock(state.mutex);
  if (!state.server) return;
  state.server->listener().stop();
  state.server.reset();
}

std::uint16_t port() {
  debug::State& state = debug::state();
  const std::lock_guard lock(state.mutex);
  return state.server ? state.server->listener().port() : std::uint16_t{0};
}

}  // namespace lull::debug_server

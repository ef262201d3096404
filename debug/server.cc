// lull::debug_server: one server at a time, and what becomes of it in a forked child and at exit.
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <optional>

#include "debug/guard.h"
#include "debug/http.h"
#include "debug/listener.h"
#include "debug/routes.h"
#include "gc/mutator/handshake.h"
#include "lull/debug_server.h"
#include "lull/thread.h"

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
  void forget_in_child() {
    listener_.forget_in_child();
    routes_.end_recordings_in_child();
  }

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

struct State {
  std::mutex control;              // start() and stop() one after the other
  std::mutex mutex;                // for the pointer; held across fork(), so nothing that takes another lock happens under it
  std::unique_ptr<Server> server;  // writers hold both
};
// Never destroyed: stop() may come from other destructors. Anew in a forked child, where `control` may belong to a thread that is not there.
std::atomic<State*> current{nullptr};

State& state() {
  // release: the one who reads it sees a whole one; pairs with the acquire.
  State* s = current.load(std::memory_order_acquire);
  if (s != nullptr) return *s;
  auto fresh = std::make_unique<State>();
  return current.compare_exchange_strong(s, fresh.get(), std::memory_order_acq_rel) ? *fresh.release() : *s;
}

void set_server(State& s, std::unique_ptr<Server> to) {
  const std::lock_guard lock(s.mutex);
  s.server.swap(to);
}  // the old one goes here, after the lock

void lock_for_fork() {
  state().mutex.lock();
  if (state().server) state().server->listener().lock_for_fork();
}
void unlock_after_fork() {
  if (state().server) state().server->listener().unlock_after_fork();
  state().mutex.unlock();
}
// The threads did not come along, so nothing of them can be destroyed: only what they had open is closed, and what they recorded ends.
void forget_in_child() {
  if (state().server) state().server->forget_in_child();
  current.store(nullptr, std::memory_order_relaxed);
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
  const std::lock_guard control(state.control);
  if (state.server) {
    errno = EALREADY;
    return false;
  }
  debug::set_server(state, std::make_unique<debug::Server>(with));  // before it has a socket, so that no forked child keeps that
  debug::prepare_for_fork_and_exit();  // behind the first use of the HTTP library: exit runs this in the opposite order
  if (state.server->listener().start(with.address, with.port)) return true;
  const int why = errno;
  debug::set_server(state, nullptr);
  errno = why;
  return false;
} catch (const std::bad_alloc&) {
  errno = ENOMEM;
  return false;
}

void stop() {
  std::optional<blocking_region> waiting;  // for requests that may wait for a cycle, which must not wait for this thread
  if (gc::self_or_null() != nullptr) waiting.emplace();
  debug::State& state = debug::state();
  const std::lock_guard control(state.control);
  if (!state.server) return;
  state.server->listener().stop();
  debug::set_server(state, nullptr);
}

std::uint16_t port() {
  debug::State& state = debug::state();
  const std::lock_guard lock(state.mutex);
  return state.server ? state.server->listener().port() : std::uint16_t{0};
}

}  // namespace lull::debug_server

#include "debug/listener.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <new>

#include "alloc/os/clock.h"
#include "alloc/os/thread.h"

namespace lull::debug {
namespace {

constexpr std::uint64_t kTickNs = 1'000'000'000;
constexpr std::uint64_t kLastAnswersNs = kTickNs / 2;  // that clients have to take them when the server stops
constexpr std::uint64_t kPlaceNs = kTickNs / 10;       // for one of the connections to end, before another one is refused
constexpr int kNoResourcesMs = 100;  // without file descriptors or threads: until the next attempt
constexpr char kBusy[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

// No address means every host's with AI_PASSIVE, which has to be asked for.
addrinfo* resolve(const char* address, std::uint16_t port) {
  if (address == nullptr) return nullptr;
  char service[8];
  std::snprintf(service, sizeof service, "%u", unsigned{port});
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  return ::getaddrinfo(address, service, &hints, &found) == 0 ? found : nullptr;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) return 0;
  return ntohs(at.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port : reinterpret_cast<sockaddr_in&>(at).sin_port);
}

void close_if_open(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

}  // namespace

void StopSignal::set() {
  const std::lock_guard lock(mutex_);
  set_.store(true, std::memory_order_relaxed);
  changed_.notify_all();
}

bool StopSignal::sleep(double seconds) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return is_set(); });
}

Listener::~Listener() { close_all(); }

bool Listener::start(const char* address, std::uint16_t port) {
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0 || !listen_on(address, port)) return false;
  const std::uint16_t bound = port_of(listen_fd_);
  port_.store(bound, std::memory_order_relaxed);
  char name[16];
  std::snprintf(name, sizeof name, "lull-http:%u", unsigned{bound});
  const auto main = [](void* self) -> void* {
    static_cast<Listener*>(self)->run();
    return nullptr;
  };
  if (os::start_thread(thread_, main, this, name)) return true;
  errno = EAGAIN;
  return false;
}

bool Listener::listen_on(const char* address, std::uint16_t port) {
  addrinfo* where = resolve(address, port);
  if (where == nullptr) {
    errno = EINVAL;
    return false;
  }
  constexpr int kOn = 1;
  listen_fd_ = ::socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Only lets connections that linger from the last server be; a port that somebody listens on is still refused.
  const bool listens = listen_fd_ >= 0 && ::setsockopt(listen_fd_, SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn) == 0 &&
                       ::bind(listen_fd_, where->ai_addr, where->ai_addrlen) == 0 && ::listen(listen_fd_, kMostConnections) == 0;
  const int error = errno;
  ::freeaddrinfo(where);
  errno = error;
  return listens;
}

void Listener::close_all() {
  const int error = errno;
  close_if_open(listen_fd_);
  close_if_open(wake_fd_);
  errno = error;
}

void Listener::stop() {
  stopping_.set();
  poke();
  ::pthread_join(thread_, nullptr);
  for (Connection& c : connections_) ::shutdown(c.fd, SHUT_RD);  // who has not asked yet is not waited for
  await([this] { return std::all_of(connections_.begin(), connections_.end(), is_done); }, kLastAnswersNs);
  for (Connection& c : connections_) ::shutdown(c.fd, SHUT_RDWR);
  while (!connections_.empty()) {
    ::pthread_join(connections_.front().thread, nullptr);
    remove(connections_.begin());
  }
}

// Looks whenever a connection's thread is done. False: it is not so after that time.
bool Listener::await(const std::function<bool()>& is_so, std::uint64_t ns) {
  const std::uint64_t until = os::monotonic_ns() + ns;
  for (std::uint64_t now; !is_so() && (now = os::monotonic_ns()) < until;) {
    pollfd wake{wake_fd_, POLLIN, 0};
    std::uint64_t count;
    if (::poll(&wake, 1, static_cast<int>((until - now) / 1'000'000) + 1) > 0 && ::read(wake_fd_, &count, sizeof count) < 0) break;
  }
  return is_so();
}

void Listener::run() {
  std::uint64_t next_tick = os::monotonic_ns() + kTickNs;
  while (!stopping_.is_set()) {
    const std::uint64_t now = os::monotonic_ns();
    if (now >= next_tick) {
      work_.tick();
      next_tick = now + kTickNs;
    }
    wait(static_cast<int>((next_tick - now) / 1'000'000) + 1);
    reap_finished();
  }
}

void Listener::wait(int timeout_ms) {
  pollfd fds[] = {{wake_fd_, POLLIN, 0}, {listen_fd_, POLLIN, 0}};
  if (::poll(fds, 2, timeout_ms) <= 0) return;
  std::uint64_t count;
  if (fds[0].revents != 0 && ::read(wake_fd_, &count, sizeof count) < 0) return;
  if (fds[1].revents != 0 && !stopping_.is_set()) accept_one();
}

void Listener::accept_one() {
  const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    serve_on_thread(fd);
  } else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
    pollfd wake{wake_fd_, POLLIN, 0};  // the connection still waits: do not spin
    ::poll(&wake, 1, kNoResourcesMs);
  }
}

void Listener::serve_on_thread(int fd) {
  const auto main = [](void* connection) -> void* {
    auto& c = *static_cast<Connection*>(connection);
    c.listener->work_.serve(c.fd);
    ::shutdown(c.fd, SHUT_RDWR);
    c.done.store(true, std::memory_order_release);  // pairs with the acquire in is_done; this thread is joined before c goes
    c.listener->poke();
    return nullptr;
  };
  if (has_place()) {
    Connection& c = add(fd);
    if (os::start_thread(c.thread, main, &c, "lull-http")) return;
    remove(connections_.begin());
    return;
  }
  [[maybe_unused]] const auto sent = ::send(fd, kBusy, sizeof kBusy - 1, MSG_NOSIGNAL);
  ::close(fd);
}

// Threads that have answered, but have not been run to their end yet, are waited for a little.
bool Listener::has_place() {
  reap_finished();
  if (connections_.size() < kMostConnections) return true;
  await([this] { return std::any_of(connections_.begin(), connections_.end(), is_done) || stopping_.is_set(); }, kPlaceNs);
  reap_finished();
  return connections_.size() < kMostConnections;
}

// The lock is held for as little as possible: fork() waits for it, perhaps with the allocator's locks.
Listener::Connection& Listener::add(int fd) {
  std::list<Connection> fresh(1);
  fresh.front().listener = this;
  fresh.front().fd = fd;
  const std::lock_guard lock(mutex_);
  connections_.splice(connections_.begin(), fresh);
  return connections_.front();
}

void Listener::remove(std::list<Connection>::iterator at) {
  ::shutdown(at->fd, SHUT_RDWR);
  std::list<Connection> gone;
  const std::lock_guard lock(mutex_);
  ::close(at->fd);
  gone.splice(gone.begin(), connections_, at);
}

// acquire: pairs with the release in serve_on_thread
bool Listener::is_done(const Connection& c) { return c.done.load(std::memory_order_acquire); }

void Listener::reap_finished() {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const auto c = at++;
    if (!is_done(*c)) continue;
    ::pthread_join(c->thread, nullptr);
    remove(c);
  }
}

void Listener::poke() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void Listener::forget_in_child() {
  for (Connection& c : connections_) ::close(c.fd);
  close_all();
}

}  // namespace lull::debug

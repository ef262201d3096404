// A listening socket and one thread that waits for it, with a thread for each connection while it lasts.
//
// The waiting thread also runs `tick` once a second. It is named lull-http:PORT, which is how tools/lull-top finds the port of a
// process. All threads block all signals.
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

namespace lull::debug {

// Lets handlers wait for time to pass, and stop waiting when the server stops.
class StopSignal {
 public:
  void set();
  bool is_set() const { return set_.load(std::memory_order_relaxed); }
  // False: cut short.
  bool sleep(double seconds);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> set_{false};  // writers hold mutex_
};

class Listener {
 public:
  struct Work {
    std::function<void(int fd)> serve;  // on the connection's thread; the socket is closed for it
    std::function<void()> tick;
  };
  // Further connections get 503 at once. More: more threads that a careless client can make.
  static constexpr std::size_t kMostConnections = 16;

  explicit Listener(Work work) : work_(std::move(work)) {}
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  // not running

  // False: errno says why.
  [[nodiscard]] bool start(const char* address, std::uint16_t port);
  void stop();
  std::uint16_t port() const { return port_.load(std::memory_order_relaxed); }  // 0: not started yet
  StopSignal& stopping() { return stopping_; }

  // Around fork(): the lists are whole in the child. There, the threads are gone; what they had open is closed.
  void lock_for_fork() { mutex_.lock(); }
  void unlock_after_fork() { mutex_.unlock(); }
  void forget_in_child();

 private:
  struct Connection {
    Listener* listener = nullptr;
    int fd = -1;
    pthread_t thread{};
    std::atomic<bool> done{false};
  };

  bool listen_on(const char* address, std::uint16_t port);
  void close_all();
  bool await(const std::function<bool()>& is_so, std::uint64_t ns);
  bool has_place();
  static bool is_done(const Connection& c);
  void run();
  void wait(int timeout_ms);
  void accept_one();
  void serve_on_thread(int fd);
  Connection& add(int fd);
  void remove(std::list<Connection>::iterator at);
  void reap_finished();
  void poke();

  const Work work_;
  int listen_fd_ = -1, wake_fd_ = -1;  // set before the threads start
  std::atomic<std::uint16_t> port_{0};
  pthread_t thread_{};
  StopSignal stopping_;
  std::mutex mutex_;
  std::list<Connection> connections_;  // writer: the waiting thread, after it stop(); with mutex_
};

}  // namespace lull::debug

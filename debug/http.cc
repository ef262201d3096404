#include "debug/http.h"

#include <httplib.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>

#include "alloc/os/clock.h"

namespace lull::debug {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::size_t kMostDrained = 4 * 1024 * 1024;  // go tool pprof may send as many addresses
constexpr std::uint64_t kDrainNs = kNsPerSecond / 5;

// A socket with deadlines.
class Socket : public httplib::Stream {
 public:
  explicit Socket(int fd) : fd_(fd), read_until_(os::monotonic_ns() + Http::kReadSeconds * kNsPerSecond) {}

  bool is_readable() const override { return next_ < filled_ || wait(POLLIN, read_until_); }
  bool is_writable() const override { return wait(POLLOUT, write_deadline()); }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return fd_; }

  ssize_t read(char* to, std::size_t size) override {
    if (next_ == filled_ && !refill(read_until_, Http::kLongestRequest)) return -1;
    const std::size_t n = std::min(size, filled_ - next_);
    std::copy_n(buffer_ + next_, n, to);
    next_ += n;
    return static_cast<ssize_t>(n);
  }

  // All of it, or -1.
  ssize_t write(const char* from, std::size_t size) override {
    const std::uint64_t until = write_deadline();
    for (std::size_t done = 0; done < size;) {
      const ssize_t n = ::send(fd_, from + done, size - done, MSG_NOSIGNAL);
      if (n > 0) done += static_cast<std::size_t>(n);
      else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait(POLLOUT, until)) return -1;
    }
    return static_cast<ssize_t>(size);
  }

  // Closing a socket with unread bytes in it resets the connection, and the answer is lost: reads what is still coming.
  void drain() {
    ::shutdown(fd_, SHUT_WR);
    const std::uint64_t until = os::monotonic_ns() + kDrainNs;
    while (refill(until, Http::kLongestRequest + kMostDrained)) {
    }
  }

 private:
  static std::uint64_t write_deadline() { return os::monotonic_ns() + Http::kWriteSeconds * kNsPerSecond; }

  bool wait(short what, std::uint64_t until) const {
    const std::uint64_t now = os::monotonic_ns();
    if (now >= until) return false;
    pollfd p{fd_, what, 0};
    const int ready = ::poll(&p, 1, static_cast<int>((until - now) / 1'000'000) + 1);
    return ready > 0 || (ready < 0 && errno == EINTR);
  }

  // No more than `most` bytes in all.
  bool refill(std::uint64_t until, std::size_t most) {
    while (total_ < most) {
      const ssize_t n = ::recv(fd_, buffer_, sizeof buffer_, 0);
      if (n > 0) {
        next_ = 0;
        filled_ = static_cast<std::size_t>(n);
        total_ += filled_;
        hide_ranges();
        return true;
      }
      if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait(POLLIN, until)) return false;
    }
    return false;
  }

  // We answer in whole, and the library would look at ranges before anybody can say so, with a regular expression that takes some hundred bytes of
  // the stack a character: a line of 8 KiB more than there is where threads have a mebibyte. Without its colon the line is no header.
  void hide_ranges() {
    constexpr std::string_view kName = "\nrange:";
    for (char* c = buffer_; c != buffer_ + filled_; ++c) {
      const char lower = *c >= 'A' && *c <= 'Z' ? static_cast<char>(*c + ('a' - 'A')) : *c;
      matched_ = lower == kName[matched_] ? matched_ + 1 : lower == '\n' ? 1 : 0;
      if (matched_ != kName.size()) continue;
      *c = ' ';
      matched_ = 0;
    }
  }

  const int fd_;
  const std::uint64_t read_until_;
  std::size_t next_ = 0, filled_ = 0, total_ = 0;
  std::size_t matched_ = 0;  // of what hide_ranges() looks for
  char buffer_[4096];
};

// A request that nobody sent, whose answer nobody reads.
class Memory : public httplib::Stream {
 public:
  explicit Memory(std::string_view text) : rest_(text) {}
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return -1; }
  ssize_t read(char* to, std::size_t size) override {
    const std::size_t n = rest_.copy(to, size);
    rest_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char*, std::size_t size) override { return static_cast<ssize_t>(size); }

 private:
  std::string_view rest_;
};

Request translate(const httplib::Request& from) {
  Request to;
  to.method = from.method;
  to.path = from.path;
  for (const auto& [name, value] : from.params) to.query.emplace(name, value);
  to.host = from.get_header_value("Host");
  to.origin = from.get_header_value("Origin");
  to.fetch_site = from.get_header_value("Sec-Fetch-Site");
  to.fetch_mode = from.get_header_value("Sec-Fetch-Mode");
  if (from.get_header_value_count("Host") > 1) to.host = "several";
  return to;
}

void put(Response&& from, httplib::Response& to) {
  to.status = from.status;
  for (auto& [name, value] : from.headers) to.set_header(name, value);
  to.set_content(std::move(from.body), from.type);
}

}  // namespace

class Http::Parser : public httplib::Server {
 public:
  explicit Parser(Answer answer) {
    set_pre_routing_handler([answer = std::move(answer)](const httplib::Request& request, httplib::Response& response) {
      put(answer(translate(request)), response);
      return HandlerResponse::Handled;
    });
    set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
      put(Response::error(500, "out of memory"), response);
    });
  }
  void process(httplib::Stream& stream) {
    bool closed = false;
    process_request(stream, true, closed, nullptr);
  }
};

// The library's constructor makes the process ignore SIGPIPE. That is the program's to decide, and we send with MSG_NOSIGNAL.
class Http::KeepSignal {
 public:
  KeepSignal() { ::sigaction(SIGPIPE, nullptr, &before_); }
  KeepSignal(const KeepSignal&) = delete;
  KeepSignal& operator=(const KeepSignal&) = delete;
  ~KeepSignal() { ::sigaction(SIGPIPE, &before_, nullptr); }

 private:
  struct sigaction before_;
};

Http::Http(Answer answer) {
  const KeepSignal keep;
  parser_ = std::make_unique<Parser>([](const Request&) { return Response{}; });
  warm_up();
  parser_ = std::make_unique<Parser>(std::move(answer));
}
Http::~Http() = default;

// The library has variables that are made at their first use, and destroyed at exit before the server, which was started earlier,
// has stopped. So they are made now: whoever registers the stop at exit after this is called before their destructors.
void Http::warm_up() {
  for (std::string_view text : {"GET /?a=b HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\nAccept-Encoding: gzip\r\n\r\n", "nonsense\r\n\r\n"}) {
    Memory memory(text);
    parser_->process(memory);
  }
}

void Http::serve(int fd) {
  Socket socket(fd);
  parser_->process(socket);
  socket.drain();
}

}  // namespace lull::debug

// A client that sends exactly the bytes it is told to. It waits in blocking regions: under ThreadSanitizer handshakes are answered at polls only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "lull/thread.h"

namespace lull::testing {

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  bool connected() const { return connected_; }
  Client& send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) break;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return *this;
  }
  Client& end() {
    ::shutdown(fd_, SHUT_WR);
    return *this;
  }
  // Everything until the other side closes.
  std::string read() {
    const blocking_region waiting;
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = ::recv(fd_, buffer, sizeof buffer, 0)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    return text;
  }

 private:
  int fd_;
  bool connected_;
};

struct Reply {
  int status = 0;  // 0: no answer
  std::string head, body;

  bool has(std::string_view line) const { return head.find(line) != head.npos; }
};

inline Reply parse_reply(const std::string& text) {
  Reply r;
  const std::size_t end = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.1 ") || end == text.npos) return r;
  r.status = std::atoi(text.c_str() + 9);
  r.head = text.substr(0, end);
  r.body = text.substr(end + 4);
  return r;
}

inline Reply ask(std::uint16_t port, std::string_view method, std::string_view target, std::string_view headers = "Host: localhost\r\n") {
  std::string text(method);
  ((text += ' ') += target) += " HTTP/1.1\r\n";
  (text += headers) += "\r\n";
  return parse_reply(Client(port).send(text).read());
}
inline Reply get(std::uint16_t port, std::string_view target) { return ask(port, "GET", target); }

}  // namespace lull::testing

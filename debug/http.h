// One request on one connection, by cpp-httplib: it parses, we bring the sockets and the answer.
//
// Of the library only Server::process_request is used. Its own listening, thread pool and keep-alive are not: they let a client that
// sends a byte now and then hold a thread for ever, share ports (SO_REUSEPORT), and cannot be cut short.
#pragma once

#include <memory>

#include "debug/message.h"

namespace lull::debug {

class Http {
 public:
  explicit Http(Answer answer);
  ~Http();
  // Reads a request, answers, lets the client take the answer. A client has kReadSeconds for the request, however it is cut into
  // pieces, and kWriteSeconds for the answer. `fd` does not block and is not closed.
  void serve(int fd);

  static constexpr int kReadSeconds = 5, kWriteSeconds = 30;
  static constexpr std::size_t kLongestRequest = 64 * 1024;

 private:
  class Parser;
  class KeepSignal;
  void warm_up();
  std::unique_ptr<Parser> parser_;
};

}  // namespace lull::debug

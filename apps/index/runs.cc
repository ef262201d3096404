#include "apps/index/runs.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>

namespace index_service {
namespace {

/// An anonymous file in memory that a child inherits.
class ResultFile {
 public:
  ResultFile() : fd_(::memfd_create("result", 0)) {}
  ~ResultFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  ResultFile(const ResultFile&) = delete;
  ResultFile& operator=(const ResultFile&) = delete;
  int fd() const { return fd_; }
  std::string read() const {
    std::string text;
    char buffer[65536];
    off_t at = 0;
    for (ssize_t n; (n = ::pread(fd_, buffer, sizeof buffer, at)) > 0; at += n) {
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
  }

 private:
  int fd_;
};

/// Only between fork and exec.
[[noreturn]] void exec_self(std::vector<char*>& arguments) {
  ::execv("/proc/self/exe", arguments.data());
  ::_exit(127);
}

/// The wait status, or -1 with errno set.
int run_and_wait(const std::vector<std::string>& arguments) {
  std::vector<std::string> copies{"index_service"};
  copies.insert(copies.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(copies.size() + 1);
  for (std::string& copy : copies) pointers.push_back(copy.data());
  pointers.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) exec_self(pointers);
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string describe_failure(int status) {
  if (status == -1) return std::string("could not start: ") + std::strerror(errno);
  if (WIFSIGNALED(status)) return std::string("was ended by a signal: ") + ::strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return "ended with exit code " + std::to_string(WEXITSTATUS(status));
  return "sent no complete result";
}

}  // namespace

RunResult run_here(const std::string& memory, const Options& options, const Corpus& corpus,
                   const std::vector<Query>& queries) {
  const auto run = memory == "lull" ? run_with_lull : run_with_shared_ptr;
  return run(options, corpus, queries);
}

std::optional<RunResult> run_in_child(const std::string& memory, const Options& options) {
  const ResultFile file;
  const int status = file.fd() < 0 ? -1 : run_and_wait(child_arguments(options, memory, file.fd()));
  RunResult result;
  std::istringstream text(file.fd() < 0 ? std::string() : file.read());
  if (status == 0 && read_result(text, result)) return result;
  std::fprintf(stderr, "index_service: the run with %s %s\n", memory.c_str(),
               describe_failure(status).c_str());
  return std::nullopt;
}

bool send_result(int fd, const RunResult& result) {
  std::ostringstream out;
  write_result(out, result);
  const std::string text = out.str();
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace index_service

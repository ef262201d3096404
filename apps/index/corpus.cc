#include "apps/index/corpus.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <string_view>

namespace index_service {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kProbeBytes = 4096;

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }
  /// Reads until `into` is full or the file ends, and cuts `into` to what was read.
  bool read(std::string& into) const {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t n = ::read(fd_, into.data() + done, into.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    into.resize(done);
    return true;
  }
  bool stat(struct stat& info) const { return ::fstat(fd_, &info) == 0; }

 private:
  int fd_;
};

std::int64_t modified_ns(const struct stat& info) {
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

/// Adds the file if it is text.
void consider_file(const std::string& path, Corpus& corpus) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  if (bytes == 0 || bytes > kMaxFileBytes) return;
  const File file(path);
  std::string head(kProbeBytes, '\0');
  if (!file.is_open() || !file.read(head) || head.find('\0') != std::string::npos) return;
  corpus.files.push_back({path, bytes, modified_ns(info)});
}

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw CorpusError("cannot read " + path + ": " + reason);
}

void consider_directory(const std::string& path, Corpus& corpus) {
  std::error_code error;
  fs::recursive_directory_iterator at(path,
                                      error);  // without skip_permission_denied: the path itself must open
  if (error) fail(path, error.message());
  at = fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code gone;
    if (!at->is_symlink(gone) && at->is_regular_file(gone)) consider_file(at->path().string(), corpus);
  }
}

void consider_path(const std::string& path, Corpus& corpus) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail(path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return consider_directory(path, corpus);
  if (::access(path.c_str(), R_OK) != 0) fail(path, std::strerror(errno));
  consider_file(path, corpus);
}

void shuffle(std::vector<CorpusFile>& files) {
  std::mt19937_64 random(1);
  for (std::size_t i = files.size(); i > 1; --i) std::swap(files[i - 1], files[random() % i]);
}

}  // namespace

Corpus find_corpus(const std::vector<std::string>& paths, std::size_t max_files) {
  Corpus corpus;
  for (const std::string& path : paths) consider_path(path, corpus);
  const auto by_path = [](const CorpusFile& a, const CorpusFile& b) { return a.path < b.path; };
  const auto same_path = [](const CorpusFile& a, const CorpusFile& b) { return a.path == b.path; };
  std::sort(corpus.files.begin(), corpus.files.end(), by_path);
  corpus.files.erase(std::unique(corpus.files.begin(), corpus.files.end(), same_path), corpus.files.end());
  if (corpus.files.empty()) throw CorpusError("no text files below the given paths");
  shuffle(corpus.files);
  corpus.found = corpus.files.size();
  if (corpus.files.size() > max_files) corpus.files.resize(max_files);
  for (const CorpusFile& file : corpus.files) corpus.bytes += file.bytes;
  return corpus;
}

bool read_file(const std::string& path, std::string& text) {
  const File file(path);
  struct stat info {};
  if (!file.is_open() || !file.stat(info)) return false;
  text.resize(std::min(kMaxFileBytes, static_cast<std::uint64_t>(info.st_size)));
  return file.read(text);
}

std::size_t count_changed_files(const Corpus& corpus) {
  const auto changed = [](const CorpusFile& file) {
    struct stat info {};
    return ::stat(file.path.c_str(), &info) != 0 || static_cast<std::uint64_t>(info.st_size) != file.bytes ||
           modified_ns(info) != file.modified_ns;
  };
  return static_cast<std::size_t>(std::count_if(corpus.files.begin(), corpus.files.end(), changed));
}

}  // namespace index_service

// Which files are indexed: the regular text files below the given paths.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace index_service {

inline constexpr std::uint64_t kMaxFileBytes = 1u << 20;  // larger files are data, not text people search

struct CorpusFile {
  std::string path;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
};

struct Corpus {
  std::vector<CorpusFile>
      files;  // in a seeded random order: a document's number says nothing about its place
  std::uint64_t bytes = 0;
  std::uint64_t found = 0;  // text files there were, before max_files
};

/// A path that cannot be indexed; what() is the message for the user.
struct CorpusError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Finds the text files (no NUL byte in the first 4 KiB, not empty, at most kMaxFileBytes; symbolic links
/// below the paths are not followed). Throws CorpusError for a path that cannot be read and when there is no
/// text at all.
Corpus find_corpus(const std::vector<std::string>& paths, std::size_t max_files);

/// Replaces `text` by the file's contents, at most kMaxFileBytes of it; false if it cannot be read.
bool read_file(const std::string& path, std::string& text);

/// How many of the files have changed or gone since the corpus was found.
std::size_t count_changed_files(const Corpus& corpus);

}  // namespace index_service

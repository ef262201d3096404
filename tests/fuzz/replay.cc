// Without libFuzzer, for the tests of the ordinary builds: runs a target over files, and over all files of folders; then, if asked, for so
// many seconds over mutations of them, blindly.
//
//   fuzz_NAME [--seconds N] FILE-OR-FOLDER...
//
// The seed is printed, LULL_TEST_SEED replays one. The input that failed is left in the file fuzz_NAME.last of the working directory.
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "tests/fuzz/input.h"

namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::size_t kMostBytes = 2048;

// Survives the program's end, however it ends.
class LastInput {
 public:
  explicit LastInput(std::string path) : path_(std::move(path)) {
    const int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || ::ftruncate(file, kMostBytes) != 0) return;
    void* memory = ::mmap(nullptr, kMostBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) memory_ = static_cast<std::uint8_t*>(memory);
    file_ = file;
  }
  void note(const Bytes& input) {
    if (memory_ == nullptr || ::ftruncate(file_, static_cast<off_t>(input.size())) != 0) return;
    if (!input.empty()) std::memcpy(memory_, input.data(), input.size());
  }
  void forget() { ::unlink(path_.c_str()); }

 private:
  std::string path_;
  int file_ = -1;
  std::uint8_t* memory_ = nullptr;
};

void run(const Bytes& input) {
  const Bytes exact(input);  // so that AddressSanitizer sees its end
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

Bytes contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Mutator {
 public:
  Mutator(std::vector<Bytes> inputs, std::uint64_t seed) : inputs_(std::move(inputs)), random_(seed) {}

  Bytes next() {
    Bytes input = any();
    for (std::uint64_t n = below(6) + 1; n > 0; --n) change(input);
    if (input.size() > kMostBytes) input.resize(kMostBytes);
    return input;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  const Bytes& any() { return inputs_[below(inputs_.size())]; }
  auto place(Bytes& input, std::size_t at) { return input.begin() + static_cast<std::ptrdiff_t>(at); }

  void change(Bytes& input) {
    constexpr std::uint8_t kEdges[] = {0, 1, 0x7f, 0x80, 0xff, '0', '=', ','};
    const std::size_t at = below(input.size() + 1), left = input.size() - at;
    switch (below(left > 0 ? 6 : 2)) {
      case 0: input.insert(place(input, at), 1 + below(8), static_cast<std::uint8_t>(random_())); break;
      case 1: {  // a part of another one
        const Bytes& other = any();
        const std::size_t from = below(other.size() + 1), length = below(other.size() - from + 1);
        input.insert(place(input, at), other.begin() + static_cast<std::ptrdiff_t>(from), other.begin() + static_cast<std::ptrdiff_t>(from + length));
        break;
      }
      case 2: input[at] ^= static_cast<std::uint8_t>(1u << below(8)); break;
      case 3: input[at] = kEdges[below(std::size(kEdges))]; break;
      case 4: input.erase(place(input, at), place(input, at + 1 + below(left))); break;
      case 5: input[at] = static_cast<std::uint8_t>(random_()); break;
    }
  }

  std::vector<Bytes> inputs_;
  std::mt19937_64 random_;
};

void run_mutations(std::vector<Bytes> inputs, int seconds, LastInput& last) {
  const char* given = std::getenv("LULL_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("LULL_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  Mutator mutator(std::move(inputs), seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::uint64_t count = 0;
  for (; std::chrono::steady_clock::now() < end; ++count) {
    const Bytes input = mutator.next();
    last.note(input);
    run(input);
  }
  std::printf("%llu mutations\n", static_cast<unsigned long long>(count));
}

}  // namespace

int main(int argc, char** argv) {
  int seconds = 0;
  std::set<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--seconds" && i + 1 < argc) seconds = std::atoi(argv[++i]);
    else if (!std::filesystem::is_directory(argv[i])) paths.insert(argv[i]);
    else
      for (const auto& entry : std::filesystem::directory_iterator(argv[i])) paths.insert(entry.path());
  }
  if (paths.empty()) {
    std::fprintf(stderr, "usage: %s [--seconds N] FILE-OR-FOLDER...\n", argv[0]);
    return 2;
  }
  std::vector<Bytes> inputs;
  for (const auto& path : paths) {
    std::printf("%s\n", path.c_str());  // the last one is the one that failed
    std::fflush(stdout);
    run(inputs.emplace_back(contents_of(path)));
  }
  LastInput last(std::filesystem::path(argv[0]).filename().string() + ".last");
  if (seconds > 0) run_mutations(std::move(inputs), seconds, last);
  last.forget();
}

#include "apps/index/options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

namespace index_service {
namespace {

constexpr double kServedSeconds = 3600;  // with --serve: until interrupted, in practice
constexpr const char* kDefaultPaths[] = {"/usr/include", "/usr/share/doc"};

// A page is for looking at: one run, and a long one.
void adapt_to_serving(const CLI::App& app, Options& options) {
  options.memory = "lull";
  options.report = false;
  if (app.count("--seconds") == 0) options.seconds = kServedSeconds;
}

void declare(CLI::App& app, Options& options) {
  app.add_option("PATH", options.paths,
                 "Files and directories to index (default: the text under /usr/include and /usr/share/doc)");
  app.add_option("--seconds", options.seconds, "Measure each variant this long, after loading")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--rate", options.rate, "Queries per second")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6));
  app.add_option("--threads", options.threads, "Threads that answer queries")
      ->capture_default_str()
      ->check(CLI::Range(1u, 256u));
  app.add_option("--memory", options.memory, "What the index is built from; both: one after the other")
      ->capture_default_str()
      ->check(CLI::IsMember({"lull", "shared_ptr", "both"}));
  app.add_option("--max-files", options.max_files, "Index at most this many of the files, chosen evenly")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000'000}));
  app.add_flag_callback(
      "--no-report", [&options] { options.report = false; }, "Do not write lull-report.html");
#ifdef LULL_HAS_DEBUG_SERVER
  app.add_option("--serve", options.serve_port,
                 "Serve lull's live page on this port of this host (0: any), run on lull only, for an hour unless --seconds says otherwise")
      ->check(CLI::Range(0, 65535));
#endif
  app.add_option("--result-fd", options.result_fd)->group("");  // hidden: for child processes
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "An in-memory full-text index over real files. One thread re-indexes documents without end, others "
      "answer\n"
      "phrase and prefix queries at a fixed rate; latency counts from the scheduled time. Runs the same "
      "program on\n"
      "lull and on std::shared_ptr, shows both side by side and draws them in lull-report.html.\n"
      "Exit codes: 0 all well, 1 wrong answers or a failed run, 2 wrong usage or a path that cannot be read.",
      "tools/run");
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? kExitOk : kExitUsage};
  }
  if (options.serve_port >= 0) adapt_to_serving(app, options);
  return {options, kExitOk};
}

std::vector<std::string> child_arguments(const Options& options, const std::string& memory, int result_fd) {
  std::vector<std::string> arguments{"--seconds",   std::to_string(options.seconds),
                                     "--rate",      std::to_string(options.rate),
                                     "--threads",   std::to_string(options.threads),
                                     "--max-files", std::to_string(options.max_files),
                                     "--memory",    memory,
                                     "--result-fd", std::to_string(result_fd),
                                     "--"};
  arguments.insert(arguments.end(), options.paths.begin(), options.paths.end());
  return arguments;
}

std::vector<std::string> corpus_paths(const Options& options) {
  if (!options.paths.empty()) return options.paths;
  std::vector<std::string> paths;
  for (const char* path : kDefaultPaths) {
    if (std::filesystem::exists(path)) paths.emplace_back(path);
  }
  return paths;
}

}  // namespace index_service

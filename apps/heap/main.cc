// lull-heap: questions about a heap dump of lull::dump_heap. See docs/observability.md.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <stdexcept>

#include "apps/heap/reports.h"
#include "apps/heap/type_tree.h"

namespace {

using namespace lull::heap_report;

struct Arguments {
  std::string file, other, what;
  std::size_t rows = 20;
  double share = 0.1;
};

void add_file(CLI::App& command, Arguments& a) {
  command.add_option("dump", a.file, "a file of lull::dump_heap")->required();
}
void add_rows(CLI::App& command, Arguments& a) { command.add_option("-n,--rows", a.rows, "rows of a table")->capture_default_str(); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Questions about a heap dump (lull::dump_heap).", "lull-heap");
  app.require_subcommand(1);
  Arguments a;
  CLI::App& summary = *app.add_subcommand("summary", "what is in it, largest types, leak suspects");
  CLI::App& top = *app.add_subcommand("top", "types by the bytes of their objects");
  CLI::App& retainers = *app.add_subcommand("retainers", "who refers to a type or an object, and a path from a root to it");
  CLI::App& dominators = *app.add_subcommand("dominators", "objects by retained size: what would become garbage with them");
  CLI::App& suspects = *app.add_subcommand("suspects", "what alone holds a large share of the heap");
  CLI::App& diff = *app.add_subcommand("diff", "what grew between two dumps of one program");
  CLI::App& folded = *app.add_subcommand("folded", "the dominator tree by type as folded stacks, for flamegraph.pl or speedscope");
  CLI::App& pprof = *app.add_subcommand("pprof", "the same for `go tool pprof`: cum is the retained size");
  for (CLI::App* c : {&summary, &top, &retainers, &dominators, &suspects, &diff, &folded, &pprof}) add_file(*c, a);
  for (CLI::App* c : {&summary, &top, &retainers, &dominators, &diff}) add_rows(*c, a);
  retainers.add_option("what", a.what, "a type's name, the beginning of some, or an address (0x...)")->required();
  suspects.add_option("--share", a.share, "of the heap")->capture_default_str()->check(CLI::Range(0.0, 1.0));
  diff.add_option("newer", a.other, "the later dump")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    Heap heap(read_dump(a.file));
    if (summary) print_summary(heap, a.rows, std::cout);
    if (top) print_top(heap, a.rows, std::cout);
    if (retainers) print_retainers(heap, a.what, a.rows, std::cout);
    if (dominators) print_dominators(heap, a.rows, std::cout);
    if (suspects) print_suspects(heap, a.share, std::cout);
    if (folded) print_folded(heap, std::cout);
    if (pprof) print_pprof(heap, std::cout);
    if (diff) {
      Heap newer(read_dump(a.other));
      print_difference(heap, newer, a.rows, std::cout);
    }
    if (!std::cout.flush()) throw std::runtime_error(std::string("cannot write: ") + std::strerror(errno));
  } catch (const std::exception& e) {
    std::cerr << "lull-heap: " << e.what() << '\n';
    return 1;
  }
}

#include "apps/index/comparison.h"

#include <algorithm>
#include <functional>

#include "apps/index/format.h"

namespace index_service {
namespace {

class TableBuilder {
 public:
  explicit TableBuilder(const std::vector<RunResult>& runs) : runs_(runs) {}

  void heading(const std::string& label) { rows_.push_back({label, {}}); }
  void row(const std::string& label, const std::function<std::string(const RunResult&)>& cell) {
    TableRow row{label, {}};
    for (const RunResult& run : runs_) row.cells.push_back(cell(run));
    rows_.push_back(std::move(row));
  }
  void latency_rows(lull::histogram RunResult::*counts) {
    row("  p50", [=](const RunResult& run) { return format_duration((run.*counts).quantile_ns(0.5)); });
    row("  p99", [=](const RunResult& run) { return format_duration((run.*counts).quantile_ns(0.99)); });
    row("  p99.9", [=](const RunResult& run) { return format_duration((run.*counts).quantile_ns(0.999)); });
    row("  max", [=](const RunResult& run) { return format_duration((run.*counts).max_ns); });
  }
  void pause_rows(const std::string& kind) {
    const auto cell = [&kind](std::uint64_t PauseFigures::*value) {
      return [&kind, value](const RunResult& run) -> std::string {
        const PauseFigures* pause = find(run, kind);
        return pause == nullptr || pause->count == 0 ? "-" : format_duration(pause->*value);
      };
    };
    row("  p50", cell(&PauseFigures::p50_ns));
    row("  p99", cell(&PauseFigures::p99_ns));
    row("  p99.9", cell(&PauseFigures::p999_ns));
    row("  max", cell(&PauseFigures::max_ns));
    row("  count", [&kind](const RunResult& run) -> std::string {
      const PauseFigures* pause = find(run, kind);
      return pause == nullptr ? "-" : format_count(static_cast<double>(pause->count));
    });
  }
  std::vector<TableRow> take() { return std::move(rows_); }

 private:
  static const PauseFigures* find(const RunResult& run, const std::string& kind) {
    const auto& pauses = run.collector.pauses;
    const auto at = std::find_if(pauses.begin(), pauses.end(), [&](const auto& p) { return p.kind == kind; });
    return at == pauses.end() ? nullptr : &*at;
  }

  const std::vector<RunResult>& runs_;
  std::vector<TableRow> rows_;
};

bool has_collector(const RunResult& run) { return !run.collector.pauses.empty(); }

void add_work(TableBuilder& table) {
  table.row("loading, first pass over the documents",
            [](const RunResult& run) { return format_fixed(run.load_seconds, 2) + " s"; });
  table.row("documents/s", [](const RunResult& run) {
    return format_count(static_cast<double>(run.documents) / run.seconds);
  });
  table.row("queries/s", [](const RunResult& run) {
    return format_count(static_cast<double>(run.queries) / run.seconds);
  });
  table.row("queries due and not begun by the end",
            [](const RunResult& run) { return format_count(static_cast<double>(run.late_queries)); });
}

void add_pauses(TableBuilder& table, const std::vector<RunResult>& runs) {
  std::vector<std::string> kinds;
  for (const RunResult& run : runs) {
    for (const PauseFigures& pause : run.collector.pauses) {
      if (std::find(kinds.begin(), kinds.end(), pause.kind) == kinds.end()) kinds.push_back(pause.kind);
    }
  }
  for (const std::string& kind : kinds) {
    std::string name = kind;
    std::replace(name.begin(), name.end(), '_', ' ');
    table.heading("pauses of a thread, by kind: " + name);
    table.pause_rows(kind);
  }
}

void add_costs(TableBuilder& table) {
  table.row("GC share of the CPU time used", [](const RunResult& run) -> std::string {
    return has_collector(run) ? format_percent(run.collector_cpu_seconds / run.cpu_seconds) : "-";
  });
  table.row("CPU time used, cores",
            [](const RunResult& run) { return format_fixed(run.cpu_seconds / run.seconds, 2); });
  table.row("CPU time of other processes, cores",
            [](const RunResult& run) { return format_fixed(run.others_cpu_seconds / run.seconds, 2); });
  table.row("CPU time withheld by the host, cores",
            [](const RunResult& run) { return format_fixed(run.withheld_cpu_seconds / run.seconds, 2); });
  table.row("collections", [](const RunResult& run) -> std::string {
    return has_collector(run) ? format_count(static_cast<double>(run.collector.collections)) : "-";
  });
  table.row("times all threads were stopped", [](const RunResult& run) -> std::string {
    return has_collector(run) ? format_count(static_cast<double>(run.collector.global_stops)) : "-";
  });
  table.row("peak memory", [](const RunResult& run) { return format_bytes(run.peak_bytes); });
  table.row("final memory", [](const RunResult& run) { return format_bytes(run.final_bytes); });
}

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::string space(width > text.size() ? width - text.size() : 0, ' ');
  return right ? space + text : text + space;
}

}  // namespace

std::vector<TableRow> compare_runs(const std::vector<RunResult>& runs) {
  TableBuilder table(runs);
  add_work(table);
  table.heading("query latency, from the scheduled time");
  table.latency_rows(&RunResult::latency);
  table.heading("work on a query, from its begin to the answer");
  table.latency_rows(&RunResult::work);
  table.heading("late begin of a query whose thread was idle (kernel, collector)");
  table.latency_rows(&RunResult::start_delay);
  add_pauses(table, runs);
  table.heading("cost");
  add_costs(table);
  return table.take();
}

std::string table_as_text(const std::vector<RunResult>& runs) {
  constexpr std::size_t kLabelWidth = 42, kCellWidth = 14;
  std::string text = std::string(kLabelWidth, ' ');
  for (const RunResult& run : runs) text += padded(run.memory, kCellWidth, true);
  text += '\n';
  for (const TableRow& row : compare_runs(runs)) {
    text += row.cells.empty() ? row.label : padded(row.label, kLabelWidth, false);
    for (const std::string& cell : row.cells) text += padded(cell, kCellWidth, true);
    text += '\n';
  }
  return text;
}

}  // namespace index_service

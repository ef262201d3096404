// One run with one memory policy:
//   1. the indexer thread indexes every document once (loading, not measured)
//   2. it goes on re-indexing all documents, over and over; query threads answer queries at a fixed rate
//   3. one second after all stopped, the memory that is left is read
//
// Queries are scheduled at fixed times, start + i / rate, whether or not the one before was answered; latency
// counts from there, so a stall shows in every query it delays.
//
// A query thread sleeps until kSpinNs before the scheduled time, spins from there, and asks the scheduler for
// short turns. Sleeping alone wakes up tens of microseconds late; spinning all the time makes the scheduler
// take the processor away for milliseconds when the indexer and the collector want it, too. Measured with two
// busy threads on two cores (which had other load): how late a thread comes that is due each millisecond,
// medians of six runs of p50 / p99: spinning all the time 5 / 20 ms; sleeping and spinning 0 / 7 ms; with
// short turns 0 / 4 ms.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "apps/index/corpus.h"
#include "apps/index/document_words.h"
#include "apps/index/indexer.h"
#include "apps/index/latency.h"
#include "apps/index/options.h"
#include "apps/index/process.h"
#include "apps/index/progress.h"
#include "apps/index/query.h"
#include "apps/index/run_result.h"
#include "apps/index/search.h"

namespace index_service {

template <class M>
class Service {
 public:
  Service(const Options& options, const Corpus& corpus, const std::vector<Query>& queries)
      : options_(options),
        corpus_(corpus),
        queries_(queries),
        index_(M::template make<Index<M>>(corpus.files.size())),
        answers_(queries.size()),
        progress_(M::kName, corpus.files.size()) {
    for (unsigned i = 0; i < options.threads; ++i) workers_.push_back(std::make_unique<QueryWorker>());
  }

  RunResult run() {
    M::begin_recording();
    std::thread indexer([this] { index_forever(); });
    while (!loaded_.load(std::memory_order_acquire)) watch_until(now_ns() + kSampleNs);
    result_.load_seconds = progress_.seconds();
    measure();
    stop_.store(true, std::memory_order_relaxed);
    join(indexer);
    watch_until(now_ns() + kSecond);
    collect_figures();
    return std::move(result_);
  }

 private:
  static constexpr std::int64_t kSecond = 1'000'000'000;
  static constexpr std::int64_t kSampleNs = kSecond / 10;
  static constexpr std::int64_t kSpinNs =
      100'000;  // larger: fewer late wake-ups, more contention for the processor

  /// What one query thread records; read by the main thread at any time.
  struct QueryWorker {
    LatencyRecorder latency, start_delay, work;
    std::atomic<std::uint64_t> late{0}, unsteady{0};
    std::thread thread;
  };

  // The indexer thread.

  void index_forever() {
    M::attach_thread();
    std::vector<std::uint32_t> order(corpus_.files.size());
    std::iota(order.begin(), order.end(), 0u);
    std::mt19937_64 random(2);
    while (index_all(order)) {
      loaded_.store(true, std::memory_order_release);  // pairs with the acquire in run()
      std::shuffle(order.begin(), order.end(), random);
    }
  }

  /// False if told to stop.
  bool index_all(const std::vector<std::uint32_t>& order) {
    for (const std::uint32_t document : order) {
      if (stop_.load(std::memory_order_relaxed)) return false;
      index_document(document);
      documents_.fetch_add(1, std::memory_order_relaxed);
    }
    return true;
  }

  /// A file that has become unreadable keeps its old version.
  void index_document(std::uint32_t document) {
    bool readable = false;
    {
      typename M::BlockingRegion region;
      readable = read_file(corpus_.files[document].path, text_);
    }
    if (!readable) return;
    words_.assign(text_);
    Indexer<M>::replace_document(*index_.get(), document, words_);
  }

  // The query threads.

  void answer_queries(unsigned thread) {
    M::attach_thread();
    request_short_turns();
    QueryWorker& worker = *workers_[thread];
    for (std::uint64_t i = thread;; i += options_.threads) {
      const std::int64_t due = due_ns(i);
      if (due >= end_ns_) return;
      std::int64_t now = now_ns();
      if (now >= end_ns_) {  // overload: what was due and never begun has waited until now
        worker.late.fetch_add(1, std::memory_order_relaxed);
        worker.latency.record(static_cast<std::uint64_t>(now - due));
        continue;
      }
      if (now < due) {
        now = wait_until(due);
        worker.start_delay.record(static_cast<std::uint64_t>(now - due));
      }
      answer_one(worker, i);
      const std::int64_t done = now_ns();
      worker.work.record(static_cast<std::uint64_t>(done - now));
      worker.latency.record(static_cast<std::uint64_t>(done - due));
    }
  }

  void answer_one(QueryWorker& worker, std::uint64_t i) {
    const std::size_t number = i % queries_.size();
    const std::uint64_t digest = answer(*index_.get(), queries_[number]);
    std::uint64_t first = 0;
    const bool is_first = answers_[number].compare_exchange_strong(first, digest, std::memory_order_relaxed);
    if (!is_first && first != digest) worker.unsteady.fetch_add(1, std::memory_order_relaxed);
  }

  std::int64_t due_ns(std::uint64_t i) const {
    return start_ns_ + static_cast<std::int64_t>(static_cast<double>(i) * 1e9 / options_.rate);
  }

  /// Returns the time it came back.
  std::int64_t wait_until(std::int64_t due) {
    std::int64_t now = now_ns();
    if (due - now > kSpinNs) {
      typename M::BlockingRegion region;
      sleep_until_ns(due - kSpinNs);
    }
    while ((now = now_ns()) < due) M::safepoint();
    return now;
  }

  // The main thread.

  void measure() {
    const std::uint64_t documents_before = documents_.load(std::memory_order_relaxed);
    const double cpu_before = process_cpu_seconds();
    const MachineTime machine_before = machine_time();
    const double collector_before = M::read_figures().cpu_seconds;
    start_ns_ = now_ns() + kSecond / 100;
    end_ns_ = start_ns_ + static_cast<std::int64_t>(options_.seconds * 1e9);
    for (unsigned i = 0; i < options_.threads; ++i) {
      workers_[i]->thread = std::thread([this, i] { answer_queries(i); });
    }
    watch_until(end_ns_);
    result_.seconds = static_cast<double>(now_ns() - start_ns_) * 1e-9;
    result_.documents = documents_.load(std::memory_order_relaxed) - documents_before;
    result_.cpu_seconds = process_cpu_seconds() - cpu_before;
    const MachineTime machine = machine_time();
    result_.others_cpu_seconds = std::max(0.0, machine.busy - machine_before.busy - result_.cpu_seconds);
    result_.withheld_cpu_seconds = machine.withheld - machine_before.withheld;
    result_.collector_cpu_seconds = M::read_figures().cpu_seconds - collector_before;
    for (auto& worker : workers_) join(worker->thread);
  }

  /// Samples memory and shows progress until then.
  void watch_until(std::int64_t end) {
    for (std::int64_t now = now_ns(); now < end; now = now_ns()) {
      const CollectorFigures collector = M::read_figures();
      result_.memory_over_time.push_back({progress_.seconds(), resident_bytes(), collector.heap_bytes, collector.allocated_bytes});
      M::sample_types(result_);
      if (progress_.is_due() && !stop_.load(std::memory_order_relaxed)) show_progress(collector);
      typename M::BlockingRegion region;
      sleep_until_ns(std::min(now + kSampleNs, end));
    }
  }

  void show_progress(const CollectorFigures& collector) {
    progress_.show(documents_.load(std::memory_order_relaxed), latency(), result_.memory_over_time.back(),
                   collector.collections);
  }

  static void join(std::thread& thread) {
    typename M::BlockingRegion region;
    thread.join();
  }

  lull::histogram latency() const {
    lull::histogram all;
    for (const auto& worker : workers_) all.merge(worker->latency.read());
    return all;
  }

  void collect_figures() {
    result_.memory = M::kName;
    result_.final_bytes = resident_bytes();
    result_.peak_bytes = peak_resident_bytes();
    result_.collector = M::read_figures();
    M::finish_recording(result_);
    result_.latency = latency();
    for (const auto& worker : workers_) {
      result_.start_delay.merge(worker->start_delay.read());
      result_.work.merge(worker->work.read());
      result_.late_queries += worker->late.load(std::memory_order_relaxed);
      result_.unsteady_answers += worker->unsteady.load(std::memory_order_relaxed);
    }
    result_.queries = result_.latency.count - result_.late_queries;
    for (const auto& digest : answers_) result_.digests.push_back(digest.load(std::memory_order_relaxed));
  }

  const Options& options_;
  const Corpus& corpus_;
  const std::vector<Query>& queries_;
  typename M::template root<Index<M>> index_;
  std::vector<std::atomic<std::uint64_t>>
      answers_;  // first digest by query; 0: none yet. Writers: query threads
  std::vector<std::unique_ptr<QueryWorker>> workers_;
  std::atomic<std::uint64_t> documents_{0};  // indexed so far, loading included. Writer: the indexer
  std::atomic<bool> loaded_{false};
  std::atomic<bool> stop_{false};
  std::int64_t start_ns_ = 0, end_ns_ = 0;  // set before the query threads start
  std::string text_;                        // the indexer's
  DocumentWords words_;                     // the indexer's
  Progress progress_;                       // the main thread's
  RunResult result_;                        // the main thread's
};

}  // namespace index_service

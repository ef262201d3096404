// Pairs of threads: one only makes objects, the other only frees them. Every free is a remote one.
//
//   producer_consumer [pairs = 1] [bytes = 64, 0: 16 to 1024, skewed small] [millions of objects a pair = 20]

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kBatch = 256;

// A ring of batches between one producer and one consumer.
class Pipe {
 public:
  using Batch = std::array<bench::Object*, kBatch>;

  Batch& begin_send() {
    for (auto r = received_.load(std::memory_order_acquire);
         sent_.load(std::memory_order_relaxed) - r == kBatches;
         r = received_.load(
             std::memory_order_acquire)) {  // acquire: pairs with end_receive, the batch is free
      received_.wait(r, std::memory_order_acquire);
    }
    return batches_[sent_.load(std::memory_order_relaxed) % kBatches];
  }
  void end_send() {
    sent_.fetch_add(1, std::memory_order_release);  // publishes the batch, pairs with begin_receive
    sent_.notify_one();
  }
  Batch& begin_receive() {
    const auto received = received_.load(std::memory_order_relaxed);
    sent_.wait(received, std::memory_order_acquire);  // pairs with end_send
    return batches_[received % kBatches];
  }
  void end_receive() {
    received_.fetch_add(1, std::memory_order_release);
    received_.notify_one();
  }

 private:
  static constexpr std::uint32_t kBatches = 16;  // larger: fewer waits, more memory in flight

  std::array<Batch, kBatches> batches_{};
  alignas(64) std::atomic<std::uint32_t> sent_ = 0;      // written by the producer
  alignas(64) std::atomic<std::uint32_t> received_ = 0;  // written by the consumer
};

void produce(Pipe& pipe, std::size_t bytes, std::uint64_t batches) {
  bench::Random random(7);
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (auto& object : pipe.begin_send()) {
      object = bench::make_object(bytes != 0 ? bytes : bench::skewed_size(random, 1024));
    }
    pipe.end_send();
  }
}

std::uint64_t consume(Pipe& pipe, std::uint64_t batches) {
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (auto* object : pipe.begin_receive()) dropped += bench::drop_object(object);
    pipe.end_receive();
  }
  return dropped;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t pairs = arguments.number(1, 1);
  const std::size_t bytes = arguments.number(2, 64);
  const std::uint64_t batches = 1'000'000 * arguments.number(3, 20) / kBatch;
  std::vector<std::unique_ptr<Pipe>> pipes(pairs);
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> dropped = 0;
  for (auto& pipe : pipes) {
    pipe = std::make_unique<Pipe>();
    threads.emplace_back([&] { produce(*pipe, bytes, batches); });
    threads.emplace_back([&] { dropped.fetch_add(consume(*pipe, batches), std::memory_order_relaxed); });
  }
  for (auto& thread : threads) thread.join();
  bench::print_check(pairs * batches * kBatch, dropped.load(std::memory_order_relaxed));
}

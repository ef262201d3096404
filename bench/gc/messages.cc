// Messages through a chain of threads: the first makes them, each of the others adds a part, the last reads and drops them.
// Every object dies on another thread than the one that made it. Queues hold 1024 messages; a thread that waits for one
// sleeps.
//
//   messages_MEMORY [threads = 3] [thousand messages = 2000]

#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

constexpr std::size_t kQueueLength = 1024, kMostThreads = 16;
constexpr std::uint64_t kPartsAtFirst = 8;

struct Part {
  Part(Local<Part> n, std::uint64_t v) noexcept : next(std::move(n)), value(v) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next); }

  Field<Part> next;
  std::uint64_t value;
  std::array<std::uint64_t, 4> text{};
};

struct Message {
  explicit Message(std::uint64_t n) noexcept : parts(nullptr), number(n) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(parts); }

  void add(std::uint64_t value) {
    auto rest = Memory::load(parts);
    parts = Memory::field(Memory::make<Part>(std::move(rest), value));
  }

  Field<Part> parts;
  std::uint64_t number;
};

Local<Message> make_message(std::uint64_t number) {
  auto message = Memory::make<Message>(number);
  for (std::uint64_t i = 0; i < kPartsAtFirst; ++i) message->add(number + i);
  return message;
}

std::uint64_t sum_and_drop(const Local<Message>& message) {
  std::uint64_t sum = 0;
  for (Part* part = &*message->parts; part != nullptr;) {
    sum += part->value;
    [[maybe_unused]] Part* read = std::exchange(part, &*part->next);
    if constexpr (Memory::explicit_free) Memory::free(read);
  }
  if constexpr (Memory::explicit_free) Memory::free(&*message);
  return sum;
}

// Lives on the stack.
class Queue {
 public:
  void push(const Local<Message>& message) {
    std::unique_lock guard(lock_);
    wait(guard, [&] { return tail_ - head_ < kQueueLength; });
    slots_[tail_++ % kQueueLength] = Memory::field(message);
    if (tail_ - head_ == 1) changed_.notify_all();
  }

  Local<Message> pop() {
    std::unique_lock guard(lock_);
    wait(guard, [&] { return tail_ != head_; });
    Field<Message>& slot = slots_[head_++ % kQueueLength];
    auto message = Memory::load(slot);
    slot = nullptr;
    if (tail_ - head_ == kQueueLength - 1) changed_.notify_all();
    return message;
  }

 private:
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& guard, Condition&& holds) {
    while (!holds()) {
      Memory::BlockingScope blocking;
      changed_.wait(guard);
    }
  }

  bench::Table<Message> slots_ = Memory::make_table<Message>(kQueueLength);
  std::mutex lock_;
  std::condition_variable changed_;
  std::size_t head_ = 0, tail_ = 0;
};

std::uint64_t run(std::size_t threads, std::uint64_t messages) {
  std::array<Queue, kMostThreads> queues;  // queue i leads to thread i
  std::vector<std::thread> others;
  for (std::size_t t = 1; t + 1 < threads; ++t) {
    others.emplace_back([&, t] {
      typename Memory::ThreadScope scope;
      for (std::uint64_t i = 0; i < messages; ++i) {
        auto message = queues[t].pop();
        message->add(t);
        queues[t + 1].push(message);
      }
    });
  }
  std::uint64_t sum = 0;
  others.emplace_back([&] {
    typename Memory::ThreadScope scope;
    for (std::uint64_t i = 0; i < messages; ++i) sum += sum_and_drop(queues[threads - 1].pop());
  });
  for (std::uint64_t i = 0; i < messages; ++i) queues[1].push(make_message(i));
  Memory::BlockingScope blocking;
  for (auto& thread : others) thread.join();
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("messages", argc, argv);
  const auto threads = program.next<std::size_t>("threads", 3);
  const auto messages = program.next<std::uint64_t>("thousands", 2000) * 1000;
  program.check(threads >= 2 && threads <= kMostThreads, "2 to 16 threads");
  std::uint64_t expected = messages * ((threads - 2) * (threads - 1) / 2 + kPartsAtFirst * (kPartsAtFirst - 1) / 2);
  expected += kPartsAtFirst * (messages * (messages - 1) / 2);
  program.check(run(threads, messages) == expected, "parts of messages were lost");
  return program.end();
}

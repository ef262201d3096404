// A server: threads replace random objects of their sessions, hand some to one another through mailboxes, and
// end after a while. A new thread takes over the sessions of an ended one and frees what that one made.
//
//   server [threads = 2] [generations = 40] [thousands of replacements a thread and generation = 600]

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kSessionObjects = 10'000;
constexpr std::size_t kMailboxes = 256;
constexpr std::size_t kHandOverEvery = 8;  // smaller: more frees by another thread

using Session = std::vector<bench::Object*>;
using Mailboxes = std::vector<std::atomic<bench::Object*>>;

std::uint64_t serve(Session& session, Mailboxes& mailboxes, std::uint64_t seed, std::uint64_t replacements) {
  bench::Random random(seed);
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < replacements; ++i) {
    auto& slot = session[random.below(session.size())];
    if (i % kHandOverEvery == 0) {  // acq_rel: the object's bytes go with its address
      slot = mailboxes[random.below(mailboxes.size())].exchange(slot, std::memory_order_acq_rel);
    }
    dropped += bench::drop_object(slot);
    slot = bench::make_object(bench::skewed_size(random, 2048));
  }
  return dropped;
}

std::uint64_t run_generation(std::vector<Session>& sessions, Mailboxes& mailboxes, std::size_t generation,
                             std::uint64_t replacements) {
  std::vector<std::uint64_t> dropped(sessions.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    threads.emplace_back(
        [&, i] { dropped[i] = serve(sessions[i], mailboxes, generation * 100 + i, replacements); });
  }
  for (auto& thread : threads) thread.join();
  return std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  std::vector<Session> sessions(arguments.number(1, 2), Session(kSessionObjects));
  const std::size_t generations = arguments.number(2, 40);
  const std::uint64_t replacements = 1'000 * arguments.number(3, 600);
  Mailboxes mailboxes(kMailboxes);
  std::uint64_t dropped = 0;
  for (std::size_t g = 0; g < generations; ++g)
    dropped += run_generation(sessions, mailboxes, g, replacements);
  for (auto& session : sessions) {
    for (auto* object : session) dropped += bench::drop_object(object);
  }
  for (auto& mailbox : mailboxes) dropped += bench::drop_object(mailbox.load(std::memory_order_relaxed));
  bench::print_check(sessions.size() * generations * replacements, dropped);
}

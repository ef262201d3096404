// lull/debug_server.h. With --serve the program allocates and serves until its standard input ends, for check_debug_server.py and the
// browser's test; it prints its port.
#include "lull/debug_server.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <thread>
#include <vector>

#include "alloc/trace/timeline.h"
#include "debug/guard.h"
#include "debug/samples.h"
#include "gc/model/delay.h"
#include "lull/leak_watch.h"
#include "lull/lull.h"
#include "lull/metrics.h"
#include "lull/object_profile.h"
#include "lull/profile.h"
#include "lull/timeline.h"
#include "tests/debug/client.h"
#include "tests/support/hidden.h"

namespace {

using lull::testing::ask;
using lull::testing::Client;
using lull::testing::get;
using lull::testing::parse_reply;
using lull::testing::Reply;

struct Session {
  lull::ptr<Session> next;
  char data[40] = {};
  void trace(lull::tracer& t) const { t(next); }
};
lull::root<Session> kept;

class DebugServer : public ::testing::Test {
 protected:
  DebugServer() {
    EXPECT_TRUE(lull::debug_server::start());
    port_ = lull::debug_server::port();
  }
  ~DebugServer() override { lull::debug_server::stop(); }
  std::uint16_t port_ = 0;
};

void join(std::thread& thread) {
  const lull::blocking_region waiting;
  thread.join();
}

TEST_F(DebugServer, AnswersEveryEndpoint) {
  lull::testing::elsewhere([] { kept = lull::make<Session>(); });
  lull::collect();
  const struct { const char *path, *type, *text; } kCases[] = {
      {"/", "text/html", "<title>lull</title>"},
      {"/page.js", "text/javascript", "/api/samples"},
      {"/page.css", "text/css", "--card"},
      {"/debug/pprof/", "text/html", "/debug/pprof/heap"},
      {"/debug/pprof/heap", "application/octet-stream", "managed objects, by type"},
      {"/debug/pprof/allocs", "application/octet-stream", "Session"},
      {"/debug/pprof/heap?debug=1", "text/plain", "Session"},
      {"/debug/pprof/objects?seconds=0", "application/octet-stream", "alloc_space"},
      {"/debug/pprof/lifetimes?seconds=0", "application/octet-stream", "lifetime"},
      {"/debug/pprof/objects?seconds=0&debug=1", "text/plain", ""},
      {"/debug/pprof/short_lived?seconds=0", "text/plain", ""},
      {"/debug/pprof/cmdline", "text/plain", "debug_server_test"},
      {"/metrics", "text/plain; version=0.0.4", "lull_gc_heap_live_bytes "},
      {"/debug/vars", "application/json", "\"memstats\":{"},
      {"/debug/trace?seconds=0", "application/json", "traceEvents"},
      {"/api/samples", "application/json", "\"about\":{\"program\":\"debug_server_test\""},
  };
  for (const auto& c : kCases) {
    const Reply r = get(port_, c.path);
    EXPECT_EQ(r.status, 200) << c.path;
    EXPECT_TRUE(r.has(std::string("Content-Type: ") + c.type)) << c.path << '\n' << r.head;
    EXPECT_TRUE(r.has("Content-Length: " + std::to_string(r.body.size()))) << c.path << '\n' << r.head;
    EXPECT_NE(r.body.find(c.text), r.body.npos) << c.path << '\n' << r.body.substr(0, 1000);
  }
}

TEST_F(DebugServer, AHeadHasNoBodyAndAWrongMethodIsToldTheRightOne) {
  const Reply whole = get(port_, "/debug/pprof/"), head = ask(port_, "HEAD", "/debug/pprof/");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_TRUE(head.has("Content-Length: " + std::to_string(whole.body.size()))) << head.head;
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    const Reply r = ask(port_, method, "/metrics");
    EXPECT_EQ(r.status, 405) << method;
    EXPECT_TRUE(r.has("Allow: GET, HEAD")) << r.head;
  }
  const Reply r = get(port_, "/debug/gc");
  EXPECT_EQ(r.status, 405);
  EXPECT_TRUE(r.has("Allow: POST")) << r.head;
  EXPECT_EQ(ask(port_, "POST", "/").status, 405);
  EXPECT_EQ(get(port_, "/nothing").status, 404);
  EXPECT_EQ(get(port_, "/../../etc/passwd").status, 404);
}

TEST_F(DebugServer, CollectsWhenAskedTo) {
  const std::uint32_t before = lull::read_mem_stats().num_gc;
  EXPECT_EQ(ask(port_, "POST", "/debug/gc").status, 200);
  EXPECT_EQ(ask(port_, "POST", "/debug/gc?kind=young").status, 200);
  EXPECT_GE(lull::read_mem_stats().num_gc, before + 2);
  EXPECT_EQ(ask(port_, "POST", "/debug/gc?kind=old").status, 400);
}

TEST_F(DebugServer, ItsThreadsAreNotAttached) {
  lull::attach_thread();
  EXPECT_EQ(ask(port_, "POST", "/debug/gc").status, 200);
  EXPECT_NE(get(port_, "/debug/vars").body.find("\"/sched/threads:threads\":1"), std::string::npos);
}

// cpp-httplib's constructor ignores SIGPIPE for the whole process.
TEST(DebugServerSignals, LeavesTheProgramsHandlersAlone) {
  struct sigaction before{}, after{};
  before.sa_handler = [](int) {};
  ::sigaction(SIGPIPE, &before, nullptr);
  ASSERT_TRUE(lull::debug_server::start());
  Client(lull::debug_server::port()).send("GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
  lull::debug_server::stop();
  ::sigaction(SIGPIPE, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
  ::signal(SIGPIPE, SIG_DFL);
}

TEST_F(DebugServer, IgnoresRanges) {
  const Reply r = ask(port_, "GET", "/debug/pprof/", "Host: localhost\r\nRange: bytes=3-5\r\n");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, get(port_, "/debug/pprof/").body);
  for (const char* range : {"Range: bytes=9-1", "rANGE: bytes=0-0", "Range:bytes=99999999999999999999-"})
    EXPECT_EQ(ask(port_, "GET", "/debug/pprof/", std::string("Host: localhost\r\n") + range + "\r\n").body, r.body) << range;
  const std::string cut = "GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\nRange: bytes=3-5\r\nX-Range: 1\r\n\r\n";
  Client slow(port_);
  for (char c : cut) slow.send({&c, 1});
  EXPECT_EQ(parse_reply(slow.read()).body, r.body);
}

// The library matched ranges by recursion: with ulimit -s 1024 one line of 8 KiB ended the process.
TEST(DebugServerStack, AsLongARangeAsThereCanBeFitsASmallOne) {
  pthread_attr_t usual, small;
  ASSERT_EQ(::pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(::pthread_getattr_default_np(&small), 0);
  ::pthread_attr_setstacksize(&small, 1 << 20);
  ASSERT_EQ(::pthread_setattr_default_np(&small), 0);
  ASSERT_TRUE(lull::debug_server::start());
  std::string range = "Range: bytes=0-0";
  while (range.size() < 8'000) range += ",0-0";
  EXPECT_EQ(ask(lull::debug_server::port(), "GET", "/debug/pprof/cmdline", "Host: localhost\r\n" + range + "\r\n").status, 200);
  lull::debug_server::stop();
  ::pthread_setattr_default_np(&usual);
  ::pthread_attr_destroy(&usual);
  ::pthread_attr_destroy(&small);
}

TEST_F(DebugServer, NoOtherSiteReachesIt) {
  const auto status = [&](const char* method, const char* path, const std::string& headers) { return ask(port_, method, path, headers).status; };
  const std::string local = "Host: 127.0.0.1:" + std::to_string(port_) + "\r\n";
  EXPECT_EQ(status("GET", "/metrics", local), 200);
  EXPECT_EQ(status("GET", "/metrics", "Host: evil.example\r\n"), 403);
  EXPECT_EQ(status("GET", "/metrics", ""), 400);
  EXPECT_EQ(status("GET", "/metrics", "Host: localhost\r\nHost: evil.example\r\n"), 403);
  EXPECT_EQ(status("POST", "/debug/gc", local + "Origin: http://evil.example\r\n"), 403);
  EXPECT_EQ(status("POST", "/debug/gc", local + "Origin: null\r\n"), 403);
  EXPECT_EQ(status("POST", "/debug/gc", local + "Origin: http://127.0.0.1:1\r\n"), 403);
  EXPECT_EQ(status("POST", "/debug/gc", local + "Origin: http://127.0.0.1:" + std::to_string(port_) + "\r\n"), 200);
  EXPECT_EQ(status("GET", "/debug/pprof/heap", local + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"), 403);
  EXPECT_EQ(status("GET", "/debug/pprof/heap", local + "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n"), 403);
  EXPECT_EQ(status("GET", "/", local + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"), 200);
  EXPECT_EQ(status("GET", "/", local + "Sec-Fetch-Site: same-origin\r\n"), 200);
  EXPECT_TRUE(get(port_, "/").has("X-Frame-Options: DENY"));
}

TEST(Guard, KnowsItsOwnNames) {
  using lull::debug::is_our_host;
  for (const char* host : {"localhost", "LOCALHOST:6060", "127.0.0.1", "127.0.0.1:80", "192.168.1.2:6060", "[::1]", "[::1]:6060", "build7:6060", "Build7"})
    EXPECT_TRUE(is_our_host(host, "build7")) << host;
  for (const char* host : {"", ":80", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:x", "[::1", "::1", "[evil.example]", "[127.0.0.1]", "1.2.3"})
    EXPECT_FALSE(is_our_host(host, "build7")) << host;
  EXPECT_FALSE(is_our_host("", ""));
}

TEST_F(DebugServer, SurvivesNonsense) {
  const std::string long_line(200'000, 'a');
  for (const std::string& text : {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"), std::string("G\0T / HTTP/1.1\r\n\r\n", 18),
                                  "GET /" + long_line + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + long_line + "\r\n\r\n",
                                  std::string("GET /%zz%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"), std::string("GET / HTTP/1.1\r\nHost localhost\r\n\r\n"),
                                  std::string("\x16\x03\x01\x02\x00\x01\x00", 7)}) {
    const Reply r = parse_reply(Client(port_).send(text).end().read());
    EXPECT_NE(r.status, 200) << text.substr(0, 60);
  }
  { const Client gone_without_a_word(port_); }
  Client(port_).send("GET / HTTP/1.1\r\nHos");
  // A body nobody reads must not cost the answer.
  const std::string body(100'000, 'x');
  EXPECT_EQ(parse_reply(Client(port_).send("POST /debug/gc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + body).end().read()).status, 200);
  EXPECT_EQ(get(port_, "/api/samples?after=-1").status, 400);
  EXPECT_EQ(get(port_, "/api/samples?after=18446744073709551615").status, 200);
  for (const char* seconds : {"-1", "61", "nan", "1e9", "x", ""}) EXPECT_EQ(get(port_, std::string("/debug/trace?seconds=") + seconds).status, 400) << seconds;
  EXPECT_EQ(get(port_, "/metrics").status, 200);
}

TEST_F(DebugServer, ClientsThatSayNothingHoldUpNobody) {
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 8; ++i) silent.push_back(std::make_unique<Client>(port_));
  silent.front()->send("GET / HT");
  EXPECT_EQ(get(port_, "/metrics").status, 200);
  int places = 8;  // a connection more each time: there is an end to them
  while (places < 100 && get(port_, "/metrics").status == 200) {
    silent.push_back(std::make_unique<Client>(port_));
    ++places;
  }
  EXPECT_LT(places, 100);
  silent.clear();
  Reply r;
  for (int i = 0; i < 1000 && r.status != 200; ++i) r = get(port_, "/metrics");
  EXPECT_EQ(r.status, 200);
}

TEST_F(DebugServer, ServesManyAtOnceWhileTheProgramIsBusy) {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop.load(std::memory_order_relaxed)) lull::make<Session>();
  });
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (const char* path : {"/metrics", "/api/samples", "/debug/vars", "/debug/pprof/heap", "/", "/debug/pprof/heap?debug=1"})
    clients.emplace_back([&, path] {
      for (int i = 0; i < 5; ++i) good += get(port_, path).status == 200;
    });
  for (auto& c : clients) join(c);
  stop.store(true, std::memory_order_relaxed);
  join(busy);
  EXPECT_EQ(good, 30);
}

TEST_F(DebugServer, RecordsATimelineForOneAtATime) {
  std::thread first([&] { EXPECT_EQ(get(port_, "/debug/trace?seconds=60").status, 503); });  // the stop below cuts it short
  while (!lull::timeline::is_on()) std::this_thread::yield();
  EXPECT_EQ(get(port_, "/debug/trace?seconds=0").status, 409);
  lull::debug_server::stop();
  join(first);
  EXPECT_FALSE(lull::timeline::is_on());
}

// It was looked at before the claim: what the request before recorded was taken for the program's, and answered.
std::atomic<int> claims{0};
std::atomic<bool> is_first_answered{false};

TEST_F(DebugServer, TakesNoOtherRequestsTimelineForTheProgramsOwn) {
  lull::gc::delay_hook_for_testing = [](const char* where) {
    if (std::string_view(where) == "a request claims a recording" && ++claims == 2)
      while (!is_first_answered) std::this_thread::yield();
  };
  lull::gc::options.delay = 1;
  std::thread first([&] {
    EXPECT_EQ(get(port_, "/debug/trace?seconds=0.2").status, 200);
    is_first_answered = true;
  });
  while (!lull::timeline::is_on()) std::this_thread::yield();
  lull::trace::record(lull::trace::What::nap, 1, 2, 3);
  const Reply second = get(port_, "/debug/trace?seconds=0");
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(second.body.find("nap"), std::string::npos);
  join(first);
  lull::gc::options.delay = 0;
}

TEST_F(DebugServer, LeavesATimelineOfTheProgramAlone) {
  lull::timeline::start();
  lull::collect();
  EXPECT_NE(get(port_, "/debug/trace?seconds=0").body.find("\"mark\""), std::string::npos);
  EXPECT_TRUE(lull::timeline::is_on());
  lull::timeline::stop();
}

TEST_F(DebugServer, LeavesAloneWhatTheProgramStartsWhileARequestRecords) {
  std::thread requests[] = {std::thread([&] { EXPECT_EQ(get(port_, "/debug/trace?seconds=0.3").status, 200); }),
                            std::thread([&] { EXPECT_EQ(get(port_, "/debug/pprof/objects?seconds=0.3").status, 200); })};
  while (!lull::timeline::is_on() || !lull::object_profile::is_on()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // for what the request does behind the start
  lull::timeline::start();
  lull::object_profile::start();
  for (std::thread& request : requests) join(request);
  EXPECT_TRUE(lull::timeline::is_on());
  EXPECT_TRUE(lull::object_profile::is_on());
  lull::timeline::stop();
  lull::object_profile::stop();
}

TEST_F(DebugServer, StopsWithClientsConnectedAndStartsAgainOnItsPort) {
  for (int i = 0; i < 3; ++i) {
    Client silent(port_);
    Client talking(port_);
    talking.send("GET / HTTP/1.1\r\n");
    lull::debug_server::stop();
    EXPECT_EQ(lull::debug_server::port(), 0);
    EXPECT_FALSE(Client(port_).connected());
    ASSERT_TRUE(lull::debug_server::start({.port = port_})) << strerror(errno);
    EXPECT_EQ(get(port_, "/metrics").status, 200);
  }
}

TEST_F(DebugServer, ListensWhereItIsTold) {
  lull::debug_server::stop();
  ASSERT_TRUE(lull::debug_server::start({.address = "0.0.0.0", .host_name = "build7"}));
  EXPECT_EQ(ask(lull::debug_server::port(), "GET", "/metrics", "Host: build7:1\r\n").status, 200);
  EXPECT_EQ(ask(lull::debug_server::port(), "GET", "/metrics", "Host: build8\r\n").status, 403);
  lull::debug_server::stop();
  if (!lull::debug_server::start({.address = "::1"})) GTEST_SKIP() << "no IPv6 here";
  EXPECT_FALSE(Client(lull::debug_server::port()).connected());  // by IPv4
}

TEST_F(DebugServer, SaysWhyItDoesNotStart) {
  EXPECT_FALSE(lull::debug_server::start());
  EXPECT_EQ(errno, EALREADY);
  lull::debug_server::stop();
  lull::debug_server::stop();
  for (const char* address : {"no.address", "", static_cast<const char*>(nullptr)}) {  // none was every host's
    EXPECT_FALSE(lull::debug_server::start({.address = address}));
    EXPECT_EQ(errno, EINVAL);
  }
  const int other = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(::bind(other, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(::listen(other, 1), 0);
  ::getsockname(other, reinterpret_cast<sockaddr*>(&at), &size);
  EXPECT_FALSE(lull::debug_server::start({.port = ntohs(at.sin_port)}));
  EXPECT_EQ(errno, EADDRINUSE);
  ::close(other);
  EXPECT_EQ(lull::debug_server::port(), 0);
}

// The child has none of the server's threads; its exit must not wait for them, and its copy of the socket must not keep the port.
TEST_F(DebugServer, AForkedChildHasNoneAndMayStartOne) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow forks of programs with threads";
#endif
  Client silent(port_);
  ASSERT_EQ(get(port_, "/metrics").status, 200);
  int gate[2], ready[2];
  ASSERT_EQ(::pipe(gate), 0);
  ASSERT_EQ(::pipe(ready), 0);
  char byte = 0;
  const pid_t child = ::fork();
  if (child == 0) {
    if (lull::debug_server::port() != 0) ::_exit(1);
    lull::debug_server::stop();
    if (!lull::debug_server::start() || lull::debug_server::port() == port_) ::_exit(2);
    if (get(lull::debug_server::port(), "/metrics").status != 200) ::_exit(3);
    lull::debug_server::stop();
    ::close(gate[1]);
    if (::write(ready[1], &byte, 1) != 1) ::_exit(5);
    ::_exit(::read(gate[0], &byte, 1) == 0 ? 0 : 4);
  }
  ::close(gate[0]);
  ::close(ready[1]);
  EXPECT_EQ(get(port_, "/metrics").status, 200);
  lull::debug_server::stop();
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  EXPECT_TRUE(lull::debug_server::start({.port = port_})) << "a child holds the port";
  ::close(gate[1]);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// The thread that ends a recording is not in the child, which recorded for ever, and took that for the program's own.
TEST_F(DebugServer, WhatItRecordsEndsInAForkedChild) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow forks of programs with threads";
#endif
  lull::attach_thread();
  std::thread clients[] = {std::thread([&] { EXPECT_EQ(get(port_, "/debug/trace?seconds=60").status, 503); }),
                           std::thread([&] { EXPECT_EQ(get(port_, "/debug/pprof/objects?seconds=60").status, 503); })};
  const auto is_any_on = [] { return lull::timeline::is_on() || lull::object_profile::is_on(); };
  while (!lull::timeline::is_on() || !lull::object_profile::is_on()) std::this_thread::yield();
  const pid_t child = ::fork();
  if (child == 0) {
    if (is_any_on()) ::_exit(1);
    if (!lull::debug_server::start() || get(lull::debug_server::port(), "/debug/trace?seconds=0").status != 200) ::_exit(2);
    ::_exit(is_any_on() ? 3 : 0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(lull::timeline::is_on() && lull::object_profile::is_on());
  lull::debug_server::stop();
  for (std::thread& client : clients) join(client);
  EXPECT_FALSE(is_any_on());
}

TEST_F(DebugServer, WhatTheProgramRecordsGoesOnInAForkedChild) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow forks of programs with threads";
#endif
  lull::timeline::start();
  std::thread client([&] {
    while (get(port_, "/debug/trace?seconds=60").status != 503) std::this_thread::yield();
  });
  while (get(port_, "/debug/trace?seconds=0").status != 409) std::this_thread::yield();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(lull::timeline::is_on() ? 0 : 1);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  lull::debug_server::stop();
  join(client);
  EXPECT_TRUE(lull::timeline::is_on());
  lull::timeline::stop();
}

// fork() holds locks of the collector and of the server, in the order in which they came to know of each other.
TEST_F(DebugServer, StartsAndStopsWhileOthersFork) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow forks of programs with threads";
#endif
  std::atomic<bool> stop{false};
  std::thread restarting([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      lull::debug_server::stop();
      lull::debug_server::start();
    }
  });
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(lull::debug_server::port() == 0 && lull::debug_server::start() ? 0 : 1);
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  stop.store(true, std::memory_order_relaxed);
  join(restarting);
}

TEST(DebugServerAtExit, StopsWhoeverIsConnected) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        lull::debug_server::start();
        static Client silent(lull::debug_server::port());
        static Client waiting(lull::debug_server::port());
        waiting.send("GET /debug/trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        get(lull::debug_server::port(), "/debug/pprof/");
        std::exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(Samples, TellsRatesAndQuantilesOfTheTimeSinceTheOneBefore) {
  lull::debug::Samples samples;
  samples.take();
  lull::testing::elsewhere([] {
    for (int i = 0; i < 10'000; ++i) kept = lull::make<Session>();
  });
  lull::collect();
  samples.take();
  samples.take();
  const auto text = [&](std::uint64_t after) {
    std::string out;
    lull::gc::TextWriter writer({[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &out});
    samples.write(writer, after);
    writer.flush();
    return out;
  };
  const std::string all = text(0);
  EXPECT_NE(all.find("\"number\":[1,2]"), all.npos) << all;
  EXPECT_NE(all.find("\"cycles\":[1,0]"), all.npos) << all;
  EXPECT_NE(all.find("\"allocated_objects\":["), all.npos);
  EXPECT_EQ(all.find("\"slow_max\":[0,"), all.npos) << all;
  EXPECT_NE(all.find("\"pause_buckets\":[["), all.npos);
  EXPECT_NE(text(1).find("\"number\":[2]"), all.npos);
  EXPECT_NE(text(2).find("\"number\":[]"), all.npos);
  EXPECT_NE(text(99).find("\"number\":[]"), all.npos);
  for (std::size_t i = 0; i < 2 * lull::debug::Samples::kMost; ++i) samples.take();
  EXPECT_EQ(text(0).find("\"number\":[603,"), 1u);  // the oldest are forgotten
}

// Allocates in bursts, keeps some, until standard input ends.
struct Page {
  char text[2000] = {};
};
struct Cache {
  lull::ptr<Session> sessions[64];
  lull::ptr<Page> pages[512];
  void trace(lull::tracer& t) const {
    for (const auto& s : sessions) t(s);
    for (const auto& p : pages) t(p);
  }
};

// A list that only grows, for the leak watch.
struct Leaked {
  lull::ptr<Leaked> next;
  char data[1000] = {};
  void trace(lull::tracer& t) const { t(next); }
};
lull::root<Leaked> leaked;

void load(const std::atomic<bool>& stop) {
  const lull::ptr<Cache> cache = lull::make<Cache>();
  for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
    lull::ptr<Session> s = lull::make<Session>();
    if (i % 200'000 != 0) s->next = cache->sessions[i % 64];
    cache->sessions[i % 64] = s;
    if (i % 1000 == 0) cache->sessions[i / 1000 % 64] = nullptr;
    if (i % 64 == 0) cache->pages[i / 64 % 512] = lull::make<Page>();
    if (i % 20'000 == 0) {
      const lull::ptr<Leaked> one = lull::make<Leaked>();
      one->next = leaked.load();
      leaked = one;
      lull::blocking_region resting;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

int serve() {
  lull::leak_watch::start();
  if (!lull::debug_server::start()) return 1;
  std::printf("%u\n", unsigned{lull::debug_server::port()});
  std::fflush(stdout);
  lull::profile::start(64 * 1024);
  std::atomic<bool> stop{false};
  std::thread worker(load, std::cref(stop));
  ::pthread_setname_np(worker.native_handle(), "Hintergrund-\xc3\x96\xc3");  // as the kernel cuts off what is longer
  {
    const lull::blocking_region waiting;
    while (std::getchar() != EOF) {
    }
  }
  stop.store(true, std::memory_order_relaxed);
  join(worker);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--serve") return serve();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

#include "debug/routes.h"

#include <charconv>
#include <cstring>
#include <optional>

#include "debug/heap_profile.h"
#include "debug/snapshot.h"
#include "alloc/trace/timeline.h"
#include "debug/web_assets.h"
#include "gc/model/delay.h"
#include "gc/report/object_samples.h"
#include "lull/collect.h"
#include "lull/metrics_export.h"
#include "lull/object_profile.h"
#include "lull/thread.h"
#include "lull/timeline.h"

namespace lull::debug {
namespace {

constexpr double kLongestRecording = 60;  // seconds
constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kJson[] = "application/json";
constexpr char kBinary[] = "application/octet-stream";

text_sink into(std::string& text) {
  return {[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &text};
}

template <class Number>
bool parse(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// No page may be put into another one's frame (its button collects), and nothing is fetched from elsewhere.
void add_usual_headers(Response& response) {
  for (const auto& [name, value] : {std::pair{"Cache-Control", "no-store"},
                                    {"X-Content-Type-Options", "nosniff"},
                                    {"X-Frame-Options", "DENY"},
                                    {"Referrer-Policy", "no-referrer"},
                                    {"Cross-Origin-Resource-Policy", "same-origin"},
                                    {"Content-Security-Policy",
                                     "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}})
    response.headers.emplace_back(name, value);
}

const Asset* asset_at(std::string_view path) {
  for (const Asset& asset : assets())
    if (asset.path == path) return &asset;
  return nullptr;
}

Response attachment(const char* type, const std::string& name, std::string body) {
  Response response = Response::of(type, std::move(body));
  response.headers.emplace_back("Content-Disposition", "attachment; filename=\"" + name + '"');
  return response;
}

Response no_memory() { return Response::error(500, "no memory for the profile"); }

Response wrong_method(std::string allowed) {
  Response response = Response::error(405, "only " + allowed);
  response.headers.emplace_back("Allow", allowed == "GET" ? "GET, HEAD" : std::move(allowed));
  return response;
}

class Claim {
 public:
  explicit Claim(std::atomic<bool>& flag) : flag_(flag), mine_(!flag.exchange(true, std::memory_order_acquire)) {}  // pairs with the release below
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() {
    if (mine_) flag_.store(false, std::memory_order_release);  // pairs with the acquire above
  }
  explicit operator bool() const { return mine_; }

 private:
  std::atomic<bool>& flag_;
  const bool mine_;
};

}  // namespace

const Routes::Route Routes::kRoutes[] = {
    {"GET", "/debug/pprof/", nullptr, &Routes::index},
    {"GET", "/debug/pprof/heap", "memory in use: <code>go tool pprof URL</code>; <a href='heap?debug=1'>as text</a>", &Routes::heap},
    {"GET", "/debug/pprof/allocs", "memory allocated since the start; <a href='allocs?debug=1'>as text</a>", &Routes::allocs},
    {"GET", "/debug/pprof/objects", "managed objects by stack and type: sampled for <code>?seconds=5</code>, or since the program began to; <a href='objects?debug=1'>as folded stacks</a>",
     &Routes::objects},
    {"GET", "/debug/pprof/lifetimes", "likewise, how long objects lived", &Routes::objects},
    {"GET", "/debug/pprof/short_lived", "likewise, where objects are made that die young, as text", &Routes::objects},
    {"GET", "/debug/pprof/cmdline", "the command line, parts separated by 0", &Routes::command_line},
    {"POST", "/debug/pprof/symbol", nullptr, &Routes::symbol},
    {"GET", "/debug/pprof/symbol", nullptr, &Routes::symbol},
    {"GET", "/metrics", "all metrics for Prometheus", &Routes::prometheus},
    {"GET", "/debug/vars", "all metrics as Go's expvar", &Routes::expvar},
    {"GET", "/debug/trace", "a timeline for ui.perfetto.dev; <code>?seconds=5</code>", &Routes::trace},
    {"POST", "/debug/gc", "a full cycle: <code>curl -X POST URL</code>; <code>?kind=young</code>", &Routes::collect},
    {"GET", "/api/samples", "what the page reads; <code>?after=NUMBER</code>", &Routes::api_samples},
};

Routes::Routes(Samples& samples, StopSignal& stopping)
    : samples_(samples),
      stopping_(stopping),
      timeline_{timeline::is_on, [] { timeline::start(); }, timeline::stop, trace::session, 1, 1},
      objects_{object_profile::is_on, [] { object_profile::start(); }, object_profile::stop, gc::object_sampling_round, 5, 0} {}

Response Routes::answer(const Request& request) {
  Response response;
  if (const Asset* asset = asset_at(request.path)) {
    response = request.only_reads() ? Response::of(std::string(asset->type), std::string(asset->contents)) : wrong_method("GET");
  } else {
    response = route_of(request);
  }
  add_usual_headers(response);
  return response;
}

Response Routes::route_of(const Request& request) {
  const Route* at_path = nullptr;
  for (const Route& route : kRoutes) {
    if (request.path != route.path) continue;
    at_path = &route;
    const bool fits = request.method == route.method || (request.method == "HEAD" && std::strcmp(route.method, "GET") == 0);
    if (fits) return (this->*route.handle)(request);
  }
  return at_path != nullptr ? wrong_method(at_path->method) : Response::error(404, "nothing here; see /debug/pprof/");
}

Response Routes::index(const Request&) {
  std::string text = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>lull</title>"
                     "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
                     "dt{font-family:monospace;margin-top:.6rem}</style><h1>What this program answers</h1>"
                     "<dl><dt><a href='/'>/</a><dd>the live page";
  for (const Route& route : kRoutes) {
    if (route.what == nullptr) continue;
    const bool is_link = std::strcmp(route.method, "GET") == 0;
    text += is_link ? std::string("<dt><a href='") + route.path + "'>" + route.path + "</a>" : std::string("<dt>POST ") + route.path;
    text += std::string("<dd>") + route.what;
  }
  return Response::of("text/html; charset=utf-8", text + "</dl>");
}

Response Routes::heap(const Request& request) {
  if (request.query.contains("seconds")) return Response::error(400, "no profiles of differences: take two, and go tool pprof -base");
  if (request.query_or("debug", "0") != "0") return Response::of(kText, heap_profile_text());
  std::string profile = heap_profile(request.path.ends_with("allocs") ? ProfileView::allocated : ProfileView::inuse);
  return profile.empty() ? no_memory() : attachment(kBinary, request.path.substr(request.path.rfind('/') + 1) + ".pb.gz", std::move(profile));
}

Response Routes::allocs(const Request& request) { return heap(request); }

Response Routes::command_line(const Request&) { return Response::of(kText, lull::debug::command_line()); }

// pprof asks for the names of functions that it does not find in a profile, and gives up where nobody answers. What we know is in the
// profile.
Response Routes::symbol(const Request&) { return Response::of(kText, "num_symbols: 0\n"); }

Response Routes::prometheus(const Request&) {
  std::string text;
  metrics::write_prometheus(into(text));
  return Response::of("text/plain; version=0.0.4; charset=utf-8", std::move(text));
}

Response Routes::expvar(const Request&) {
  std::string text;
  metrics::write_expvar(into(text));
  return Response::of(kJson, std::move(text));
}

// `to_end` while it is on: the thread that would end it is not there in a forked child.
void Routes::Recording::begin() {
  begun.store(0, std::memory_order_relaxed);
  to_end.store(true, std::memory_order_relaxed);
  start();
  begun.store(run(), std::memory_order_relaxed);
}

// What the program has started meanwhile goes on.
void Routes::Recording::end() {
  const std::uint32_t ours = begun.load(std::memory_order_relaxed);
  if (ours == 0 || ours == run()) stop();
  to_end.store(false, std::memory_order_relaxed);
}

void Routes::end_recordings_in_child() {
  for (Recording* recording : {&timeline_, &objects_})
    if (recording->to_end.load(std::memory_order_relaxed)) recording->end();
}

// What the program or another tool records is left alone: it goes on, and the answer holds what came before, too.
Response Routes::record(const Request& request, Recording& recording, const std::function<Response()>& write) {
  std::optional<double> seconds;
  if (request.query.contains("seconds") && (!parse(request.query_or("seconds", ""), seconds.emplace()) || !(*seconds >= 0 && *seconds <= kLongestRecording)))
    return Response::error(400, "seconds: a number from 0 to 60");
  if (request.method == "HEAD") return Response{};
  gc::delay_point("a request claims a recording");
  const Claim claim(recording.claimed);
  if (!claim) return Response::error(409, "another request is recording; try again when it is done");
  const bool was_on = recording.is_on();  // now it is none of another request
  if (!was_on) recording.begin();
  const bool whole = stopping_.sleep(seconds.value_or(was_on ? recording.usual_seconds_on : recording.usual_seconds));
  if (!was_on) recording.end();
  return whole ? write() : Response::error(503, "the server is being stopped");
}

Response Routes::trace(const Request& request) {
  return record(request, timeline_, [] {
    std::string text;
    timeline::write(into(text));
    return attachment(kJson, "trace.json", std::move(text));
  });
}

Response Routes::objects(const Request& request) {
  return record(request, objects_, [&request] {
    std::string text;
    if (request.path.ends_with("short_lived")) return object_profile::write_short_lived(into(text)) ? Response::of(kText, std::move(text)) : no_memory();
    if (request.query_or("debug", "0") != "0") return object_profile::write_folded(into(text)) ? Response::of(kText, std::move(text)) : no_memory();
    const auto view = request.path.ends_with("lifetimes") ? object_profile::view::lifetimes : object_profile::view::allocations;
    return object_profile::write_pprof(into(text), view) ? attachment(kBinary, "objects.pb.gz", std::move(text)) : no_memory();
  });
}

// Waiting for a cycle attaches the thread; one that stayed so while the client takes its answer would be signalled by each handshake.
Response Routes::collect(const Request& request) {
  const std::string_view kind = request.query_or("kind", "full");
  if (kind != "full" && kind != "young") return Response::error(400, "kind: full or young");
  kind == "full" ? lull::collect() : lull::collect_young();
  detach_thread();
  return Response::of(kText, "collected\n");
}

Response Routes::api_samples(const Request& request) {
  std::uint64_t after = 0;
  if (!parse(request.query_or("after", "0"), after)) return Response::error(400, "after: the number of a sample");
  std::string text;
  write_snapshot(into(text), samples_, after);
  return Response::of(kJson, std::move(text));
}

}  // namespace lull::debug

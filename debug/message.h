// A request and its answer, free of the HTTP library's types.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lull::debug {

struct Request {
  std::string method, path;  // decoded, without the query
  std::map<std::string, std::string> query;
  std::string host;                            // header Host; empty: none
  std::string origin, fetch_site, fetch_mode;  // headers Origin, Sec-Fetch-Site, Sec-Fetch-Mode; empty: none

  bool only_reads() const { return method == "GET" || method == "HEAD"; }
  std::string_view query_or(const std::string& name, std::string_view otherwise) const {
    const auto at = query.find(name);
    return at == query.end() ? otherwise : std::string_view(at->second);
  }
};

struct Response {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};

  static Response of(std::string type, std::string body) { return {.type = std::move(type), .body = std::move(body)}; }
  static Response error(int status, std::string why) { return {.status = status, .body = std::move(why) + '\n'}; }
};

using Answer = std::function<Response(const Request&)>;

}  // namespace lull::debug

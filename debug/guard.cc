#include "debug/guard.h"

#include <arpa/inet.h>
#include <strings.h>

namespace lull::debug {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool is_address(int family, std::string_view text) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(family, std::string(text).c_str(), bytes) == 1;
}

// host[:port], [IPv6 address][:port]. Empty: neither.
std::string_view without_port(std::string_view host) {
  const std::size_t colon = host.starts_with('[') ? host.find(':', std::min(host.find(']'), host.size())) : host.find(':');
  const std::string_view port = colon == host.npos ? "" : host.substr(colon + 1);
  if (port.find_first_not_of("0123456789") != port.npos) return "";
  return host.substr(0, colon);
}

}  // namespace

bool is_our_host(std::string_view host, std::string_view own_name) {
  const std::string_view name = without_port(host);
  if (name.starts_with('[')) return name.ends_with(']') && is_address(AF_INET6, name.substr(1, name.size() - 2));
  return equal_ignoring_case(name, "localhost") || is_address(AF_INET, name) || (!own_name.empty() && equal_ignoring_case(name, own_name));
}

std::optional<Response> refusal(const Request& request, std::string_view own_name) {
  if (request.host.empty()) return Response::error(400, "no Host");
  if (!is_our_host(request.host, own_name)) return Response::error(403, "this Host is not served");
  if (!request.origin.empty() && !equal_ignoring_case(request.origin, "http://" + request.host)) return Response::error(403, "foreign Origin");
  const bool follows_link = request.only_reads() && request.path == "/" && request.fetch_mode == "navigate";
  const bool is_own = request.fetch_site.empty() || request.fetch_site == "same-origin" || request.fetch_site == "none";
  if (!is_own && !follows_link) return Response::error(403, "asked by another site");
  return std::nullopt;
}

}  // namespace lull::debug

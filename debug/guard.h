// Which requests are answered at all: those of tools on this host and of our own page, none that another web site makes a browser send.
//
//   * Host must be an IP address, localhost, or the name that the program was told. A page of evil.example that lets its name
//     point to 127.0.0.1 (DNS rebinding) says Host: evil.example.
//   * Origin, which browsers send with every POST and every request across origins, must be ours.
//   * Sec-Fetch-Site, which they send with everything, too; only following a link to the page may come from elsewhere.
#pragma once

#include <optional>

#include "debug/message.h"

namespace lull::debug {

bool is_our_host(std::string_view host, std::string_view own_name);
// The refusal, or nothing.
std::optional<Response> refusal(const Request& request, std::string_view own_name);

}  // namespace lull::debug

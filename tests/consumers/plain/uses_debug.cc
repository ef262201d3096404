// A program of somebody else with a debug server.
#include <lull/debug_server.h>
#include <lull/lull.h>

#include <cstdio>

int main() {
  const bool started = lull::debug_server::start();
  const lull::ptr<int> one = lull::make<int>(1);
  const bool fine = started && lull::debug_server::port() != 0 && *one == 1;
  lull::debug_server::stop();
  std::puts(fine ? "fine" : "wrong");
  return fine ? 0 : 1;
}

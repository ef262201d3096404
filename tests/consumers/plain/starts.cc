// Nanoseconds of processor time from the start of the process to its first object; with -DWITHOUT to where it would be made.
#include <cstdio>
#include <ctime>

#ifndef WITHOUT
#include <lull/lull.h>
#endif

int main() {
#ifndef WITHOUT
  const lull::ptr<int> first = lull::make<int>(7);
  if (*first != 7) return 1;
#endif
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  std::printf("%lld\n", now.tv_sec * 1'000'000'000LL + now.tv_nsec);
}

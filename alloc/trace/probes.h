// Static probes (USDT), for bpftrace, perf and gdb: a nop each until a tool replaces it. tools/bpftrace has scripts for them.
//
// They need <sys/sdt.h> (Debian: systemtap-sdt-dev) when lull is built; without it there are none. Arguments are numbers that
// are at hand anyway.
#pragma once

#if __has_include(<sys/sdt.h>) && !defined(LULL_NO_PROBES)
#include <sys/sdt.h>
#define LULL_PROBE1(name, a) DTRACE_PROBE1(lull, name, a)
#define LULL_PROBE2(name, a, b) DTRACE_PROBE2(lull, name, a, b)
#define LULL_PROBE3(name, a, b, c) DTRACE_PROBE3(lull, name, a, b, c)
#else
#define LULL_PROBE1(name, a) static_cast<void>(a)
#define LULL_PROBE2(name, a, b) (static_cast<void>(a), static_cast<void>(b))
#define LULL_PROBE3(name, a, b, c) (static_cast<void>(a), static_cast<void>(b), static_cast<void>(c))
#endif

// lull: an allocator and a concurrent garbage collector. Includes the whole public C++ interface but
// lull/containers.h, which needs Boost, and what is for explicit memory (lull/malloc.h, lull/heap.h and others).
#pragma once

#include "lull/allocator.h"
#include "lull/arena.h"
#include "lull/collect.h"
#include "lull/concurrent_map.h"
#include "lull/destroy.h"
#include "lull/element_ptr.h"
#include "lull/ephemeron_map.h"
#include "lull/heap_dump.h"
#include "lull/histogram.h"
#include "lull/make.h"
#include "lull/mem_stats.h"
#include "lull/metrics.h"
#include "lull/on_unreachable.h"
#include "lull/pool.h"
#include "lull/ptr.h"
#include "lull/root.h"
#include "lull/scoped.h"
#include "lull/thread.h"
#include "lull/tracer.h"
#include "lull/weak_ptr.h"

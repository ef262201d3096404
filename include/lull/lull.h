// lull: an allocator and a concurrent garbage collector. Includes the whole public C++ interface.
#pragma once

#include "lull/collect.h"
#include "lull/destroy.h"
#include "lull/ephemeron_map.h"
#include "lull/histogram.h"
#include "lull/make.h"
#include "lull/mem_stats.h"
#include "lull/on_unreachable.h"
#include "lull/ptr.h"
#include "lull/root.h"
#include "lull/thread.h"
#include "lull/tracer.h"
#include "lull/weak_ptr.h"

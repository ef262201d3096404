#include "alloc/os/stream_list.h"

extern "C" {
[[gnu::weak]] void _IO_list_lock();
[[gnu::weak]] void _IO_list_unlock();
[[gnu::weak]] void _IO_list_resetlock();
}

namespace lull::os {

namespace {
bool is_known() { return &_IO_list_lock != nullptr && &_IO_list_unlock != nullptr && &_IO_list_resetlock != nullptr; }
}  // namespace

void lock_stream_list() {
  if (is_known()) _IO_list_lock();
}
void unlock_stream_list() {
  if (is_known()) _IO_list_unlock();
}
void reset_stream_list_lock() {
  if (is_known()) _IO_list_resetlock();
}

}  // namespace lull::os

// pthread_cancel() waits while one exists. malloc and the collector are no cancellation points, but calls that they make are (open,
// read, getrandom): a thread that ended there would leave its locks held and its pages with nobody.
#pragma once

#include <pthread.h>

namespace lull::os {

class NoCancellation {
 public:
  NoCancellation() { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancellation() { ::pthread_setcancelstate(before_, nullptr); }
  NoCancellation(const NoCancellation&) = delete;
  NoCancellation& operator=(const NoCancellation&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace lull::os

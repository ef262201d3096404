// Runs out of memory in C++, in a program of C that has no C++ library of its own. 0: as the standard says.
#include <cstddef>
#include <new>

namespace {

volatile std::size_t too_much = ~std::size_t{0} / 4;
int handler_calls = 0;

bool throws_bad_alloc(bool aligned) {
  try {
    void* volatile block = aligned ? operator new(too_much, std::align_val_t{64}) : operator new(too_much);
    operator delete(block);
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int run_out() {
  int wrong = 0;
  wrong += !throws_bad_alloc(false) + !throws_bad_alloc(true);
  void* volatile none = operator new(too_much, std::nothrow);
  wrong += none != nullptr;
  std::set_new_handler([] {
    if (++handler_calls == 3) std::set_new_handler(nullptr);
  });
  wrong += !throws_bad_alloc(false) + (handler_calls != 3);
  return wrong;
}

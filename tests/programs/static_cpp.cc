// A program that has the C++ library in itself (-static-libstdc++) and malloc from liblull-malloc.so: operator new that finds no memory calls the
// new-handler and throws.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace {

volatile std::size_t too_much = std::size_t{1} << 60;
int handled = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

struct alignas(64) Aligned { char bytes[64]; };

template <class Make>
bool throws(Make make) {
  try {
    auto* volatile made = make();  // or the compiler leaves out both
    delete[] made;
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  const std::vector<std::string> words(100, std::string(100, 'x'));
  expect(throws([] { return new char[too_much]; }), "new throws");
  expect(throws([] { return new Aligned[too_much / 64]; }), "aligned new throws");
  char* volatile nothing = new (std::nothrow) char[too_much];
  expect(nothing == nullptr, "new that does not throw is null");
  std::set_new_handler([] {
    if (++handled == 3) std::set_new_handler(nullptr);
  });
  expect(throws([] { return new char[too_much]; }) && handled == 3, "the new-handler is called as long as there is one");
  expect(words[99][99] == 'x', "all is well");
  std::puts("ok");
}

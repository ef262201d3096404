// A user's program under AddressSanitizer or Valgrind; the library itself is not instrumented.
//   watched fine        uses what lives, until it is sure that nothing is reported or lost; prints "fine"
//   watched object      reads an object that was collected
//   watched destroyed   ... whose whole span has gone
//   watched block       reads a block that was given to lull_free()
// What the last three read by mistake they print, so that the reads stay.
#include <lull/lull.h>
#include <lull/malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

namespace {

struct Node {
  int* block = nullptr;
  lull::ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

lull::root<Node> head;

void elsewhere(auto f) { std::thread(f).join(); }  // its stack, with what it held, is gone afterwards

void collect() {
  for (int i = 0; i < 2; ++i) lull::collect();
}

std::uintptr_t hide(const Node* node) { return ~reinterpret_cast<std::uintptr_t>(node); }
Node* reveal(std::uintptr_t hidden) { return reinterpret_cast<Node*>(~hidden); }

// An object of a span with others that live, or of a span with nothing else.
int read_object(bool with_neighbours) {
  std::uintptr_t hidden = 0;
  elsewhere([&] {
    for (int i = 0; i < 1000; ++i) {
      lull::ptr<Node> node = lull::make<Node>();
      node->value = i;
      if (with_neighbours && i % 2 == 0) {
        node->next = head.load();
        head = node;
      }
      if (i == 501) hidden = hide(node.get());
    }
  });
  collect();
  return reveal(hidden)->value;
}

int read_block() {
  auto* block = static_cast<char*>(lull_malloc(100));
  std::memset(block, 1, 100);
  lull_free(block);
  return *const_cast<volatile char*>(block + 50);
}

// Its address is taken: with detect_stack_use_after_return it does not lie on the stack.
bool holds_in_a_frame() {
  lull::ptr<Node> node = lull::make<Node>();
  lull::ptr<Node>* volatile held = &node;
  (*held)->value = 4711;
  collect();
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) lull::make<Node>()->value = -1;
  });
  return (*held)->value == 4711;
}

bool is_fine() {
  bool fine = holds_in_a_frame();
  for (int i = 0; i < 20'000; ++i) {
    lull::ptr<Node> node = lull::make<Node>();
    node->value = i;
    node->next = i % 1000 == 0 ? lull::ptr<Node>() : head.load();
    head = node;
    if (i % 5000 == 4999) collect();
    std::unique_ptr<char, decltype(&lull_free)> block(static_cast<char*>(lull_malloc(1 + i % 3000)), lull_free);
    std::memset(block.get(), i, 1 + i % 3000);
  }
  int length = 0;
  for (const Node* n = head.get(); n != nullptr; n = n->next.get()) length += n->value / 19'000;
  if (head) head.load()->block = new int(7);  // no leak: a reachable object has it
  auto array = lull::make_array<lull::ptr<Node>>(100'000);
  array[99'999] = head.load();
  collect();
  return fine && length == 1000 && array[99'999]->value == 19'999;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "fine";
  if (what == "object") std::printf("read %d\n", read_object(true));
  if (what == "destroyed") std::printf("read %d\n", read_object(false));
  if (what == "block") std::printf("read %d\n", read_block());
  if (what == "fine") std::puts(is_fine() ? "fine" : "wrong");
}

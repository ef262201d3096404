// Loaded by loading_test.cc: allocates and frees on its own, and when it comes and goes.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::vector<std::string> words(100, "a word that is too long to be stored inside the object");
char* from_constructor;
__attribute__((constructor)) void come() { from_constructor = strdup("made by the constructor"); }
__attribute__((destructor)) void go() { std::free(from_constructor); }
thread_local std::vector<std::string> of_thread;

}  // namespace

extern "C" {
void* plugin_make(std::size_t size) { return std::malloc(size); }
char* plugin_text(const char* text) { return strdup(text); }
std::string* plugin_object() { return new std::string(1000, 'x'); }
void plugin_end(void* block) { std::free(block); }
void plugin_use_thread() { of_thread.assign(50, words.front()); }
}

// Names of functions by address, from the symbol tables of the files that the process has loaded (.symtab, or .dynsym where that was
// stripped). One pass over each table, whatever the number of addresses. Maps files and memory, allocates nothing through malloc;
// takes the dynamic linker's lock, no other: not from inside malloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lull::sample {

class Symbols {
 public:
  explicit Symbols(std::size_t most_addresses);
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  bool is_usable() const { return entries_ != nullptr; }
  void add(std::uintptr_t address);  // beyond `most_addresses`: forgotten
  void resolve();                    // once, after all were added
  // As the linker knows it, mangled, without what compilers append to parts of functions (.cold); empty: nobody knows. Valid
  // as long as this object is.
  std::string_view name_of(std::uintptr_t address) const;
  bool has_names(std::uintptr_t from, std::uintptr_t to) const;  // of an address in [from, to)
  // Calls visit(address, name) for each address, once, in rising order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Entry* e = entries_; e != entries_ + count_; ++e) visit(e->address, e->name);
  }

 private:
  struct Entry {
    std::uintptr_t address;
    std::string_view name;
  };
  struct File {
    const std::byte* start;
    std::size_t bytes;
  };
  static constexpr std::size_t kMostFiles = 256;  // in mapped memory like the entries: signal handlers have small stacks

  std::size_t bytes() const;
  void read_file(const char* path, std::uintptr_t base, std::uintptr_t low, std::uintptr_t high);
  bool read_table(const File& file, std::uint32_t type, std::uintptr_t base);
  void note(std::uintptr_t from, std::uintptr_t to, std::string_view name);
  Entry* first_from(std::uintptr_t address) const;

  Entry* entries_;
  std::size_t capacity_, count_ = 0;
  File* files_;
  std::size_t file_count_ = 0;
};

}  // namespace lull::sample

// profile.proto (github.com/google/pprof/proto), by hand: length-prefixed fields, written one after the other, whatever the
// samples are. Functions have their names in it, since `go tool pprof` finds few of C++ by itself; lines and what was inlined are left
// to tools (pprof -symbolize=force). Allocates nothing through malloc; takes no lock but the dynamic linker's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "alloc/sample/output.h"
#include "alloc/sample/stack_walk.h"
#include "alloc/sample/symbols.h"

namespace lull::sample {

// Call sites, each once; open addressing in mapped memory.
class AddressSet {
 public:
  explicit AddressSet(std::size_t most);
  ~AddressSet();
  AddressSet(const AddressSet&) = delete;
  AddressSet& operator=(const AddressSet&) = delete;
  bool is_usable() const { return words_ != nullptr; }
  bool has_room_for(std::size_t n) const { return used_ + n <= capacity_ / 2; }
  std::size_t size() const { return used_; }
  void add(std::uintptr_t address);
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < capacity_; ++i)
      if (words_[i] != 0) visit(words_[i]);
  }

 private:
  std::size_t bytes() const;
  std::size_t capacity_, used_ = 0;
  std::uintptr_t* words_;
};

// Calls in this order: value_type() for each value, sample() as often as wanted, finish(). Tools show the last value when nobody
// says which. Too large for the stack of a signal handler.
class PprofWriter {
 public:
  struct Label {
    std::uint64_t key, text;  // numbers of strings
  };
  struct Period {
    const char *type, *unit;
    std::uint64_t value;
  };

  PprofWriter(Output& out, AddressSet& sites);

  std::uint64_t string(std::string_view text);  // its number; each call writes it
  void value_type(const char* type, const char* unit);
  // Return addresses, innermost first. False: there is no room for its sites, it was left out.
  bool sample(std::span<const std::uintptr_t> frames, std::span<const std::int64_t> values, std::span<const Label> labels = {});
  // `drop_frames`: functions whose whole name matches are left out by tools, with what they call.
  void finish(const Period& period, const char* drop_frames);

 private:
  class Message;
  static constexpr std::size_t kMostMappings = 512;  // code behind them is left without a file
  struct Mapping { std::uintptr_t start, end; };

  void put_number(std::uint32_t field, std::uint64_t value);
  void put_type(std::uint32_t field, const char* type, const char* unit);
  std::uint64_t put_function(std::string_view name);
  void put_location(std::uintptr_t site, std::uint64_t function);
  void put_code();

  Output& out_;
  AddressSet& sites_;
  std::uint64_t strings_ = 0, functions_ = 0;
  std::size_t mappings_ = 0;
  Mapping mapping_[kMostMappings];

  friend class MappingWriter;
};

}  // namespace lull::sample

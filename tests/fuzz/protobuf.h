// Reads profile.proto's wire format as a reader would: every length and every index must be right.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "tests/fuzz/input.h"

namespace lull::fuzz {

struct Field {
  std::uint64_t number = 0;    // of wire type 0
  std::string_view bytes;      // of wire type 2
};

// The fields of a message in their order; a message that is cut off or of other wire types stops the program.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {
    while (!rest_.empty()) {
      const std::uint64_t key = varint();
      Field field;
      if (key % 8 == 0) {
        field.number = varint();
      } else {
        FUZZ_CHECK(key % 8 == 2);
        const std::uint64_t length = varint();
        FUZZ_CHECK(length <= rest_.size());
        field.bytes = rest_.substr(0, length);
        rest_.remove_prefix(length);
      }
      fields_[key >> 3].push_back(field);
    }
  }
  const std::vector<Field>& all(std::uint64_t number) const {
    static const std::vector<Field> none;
    const auto at = fields_.find(number);
    return at == fields_.end() ? none : at->second;
  }
  std::uint64_t number(std::uint64_t field) const { return all(field).empty() ? 0 : all(field).back().number; }
  Message message(std::uint64_t field) const { return Message(all(field).at(0).bytes); }
  static std::vector<std::uint64_t> packed(std::string_view bytes) {
    Message reader{std::string_view()};
    reader.rest_ = bytes;
    std::vector<std::uint64_t> out;
    while (!reader.rest_.empty()) out.push_back(reader.varint());
    return out;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      FUZZ_CHECK(!rest_.empty() && shift < 64);
      const auto b = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return value;
    }
  }
  std::string_view rest_;
  std::map<std::uint64_t, std::vector<Field>> fields_;
};

struct ProfileSample {
  std::vector<std::uint64_t> locations, values;
};

// What a profile says; that it is one has been checked: strings begin with "", what samples and locations refer to exists, every sample
// has as many values as there are types.
struct Profile {
  explicit Profile(std::string_view bytes) : message(bytes) {
    for (const Field& f : message.all(6)) strings.emplace_back(f.bytes);
    FUZZ_CHECK(!strings.empty() && strings[0].empty());
    for (const Field& f : message.all(1)) check_type(Message(f.bytes));
    for (const Field& f : message.all(3)) FUZZ_CHECK(mappings.insert(Message(f.bytes).number(1)).second);
    for (const Field& f : message.all(5)) {
      FUZZ_CHECK(functions.insert(Message(f.bytes).number(1)).second);
      FUZZ_CHECK(Message(f.bytes).number(2) < strings.size());
    }
    for (const Field& f : message.all(4)) add_location(Message(f.bytes));
    for (const Field& f : message.all(2)) add_sample(Message(f.bytes));
  }

  Message message;
  std::vector<std::string> strings;
  std::set<std::uint64_t> mappings, functions, locations;
  std::vector<ProfileSample> samples;

 private:
  void check_type(const Message& type) const {
    FUZZ_CHECK(type.number(1) != 0 && type.number(1) < strings.size());
    FUZZ_CHECK(type.number(2) != 0 && type.number(2) < strings.size());
  }
  void add_location(const Message& location) {
    FUZZ_CHECK(location.number(1) != 0 && locations.insert(location.number(1)).second);
    FUZZ_CHECK(location.number(2) == 0 || mappings.contains(location.number(2)));
    for (const Field& line : location.all(4)) FUZZ_CHECK(functions.contains(Message(line.bytes).number(1)));
  }
  void add_sample(const Message& sample) {
    ProfileSample s;
    for (const Field& f : sample.all(1)) s.locations = Message::packed(f.bytes);
    for (const Field& f : sample.all(2)) s.values = Message::packed(f.bytes);
    for (std::uint64_t location : s.locations) FUZZ_CHECK(locations.contains(location));
    FUZZ_CHECK(s.values.size() == message.all(1).size());
    samples.push_back(std::move(s));
  }
};

}  // namespace lull::fuzz

#include "alloc/sample/frame_rules.h"

#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstring>


#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
#define LULL_HAS_FIND_OBJECT 1
extern "C" int _dl_find_object(void*, dl_find_object*) noexcept __attribute__((weak));  // not in musl, which may link us
#endif

namespace lull::sample {
namespace {

struct Object {
  CodeRange range;
  const std::uint8_t* frame_table = nullptr;  // .eh_frame_hdr
};

// Without _dl_find_object().
constexpr std::uint32_t kMostObjects = 128;
constinit Object objects[kMostObjects];
constinit std::atomic<std::uint32_t> object_count{0};

int remember_object(dl_phdr_info* info, std::size_t, void*) {
  const std::uint32_t n = object_count.load(std::memory_order_relaxed);
  if (n == kMostObjects) return 1;
  Object object{{~std::uintptr_t{0}, 0, info->dlpi_name, info->dlpi_addr}, nullptr};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    const std::uintptr_t start = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_GNU_EH_FRAME) object.frame_table = reinterpret_cast<const std::uint8_t*>(start);
    if (header.p_type != PT_LOAD) continue;
    if (start < object.range.start) object.range.start = start;
    if (start + header.p_memsz > object.range.end) object.range.end = start + header.p_memsz;
  }
  if (object.frame_table == nullptr) return 0;
  objects[n] = object;
  object_count.store(n + 1, std::memory_order_release);  // pairs with find_remembered()
  return 0;
}

Object find_remembered(std::uintptr_t pc) {
  const std::uint32_t n = object_count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < n; ++i)
    if (objects[i].range.contains(pc)) return objects[i];
  return {};
}

bool can_ask_linker() {
#if LULL_HAS_FIND_OBJECT
  return &_dl_find_object != nullptr;
#else
  return false;
#endif
}

Object find_object(std::uintptr_t pc) {
#if LULL_HAS_FIND_OBJECT
  if (can_ask_linker()) {
    dl_find_object found;
    if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return {};
    const link_map* map = found.dlfo_link_map;
    return {{reinterpret_cast<std::uintptr_t>(found.dlfo_map_start), reinterpret_cast<std::uintptr_t>(found.dlfo_map_end),
             map != nullptr ? map->l_name : "", map != nullptr ? map->l_addr : 0},
            static_cast<const std::uint8_t*>(found.dlfo_eh_frame)};
  }
#endif
  return find_remembered(pc);
}

// Reads what DWARF is written in. The tables were made by compiler and linker and are trusted, as the C++ runtime does.
class Reader {
 public:
  explicit Reader(const std::uint8_t* at) : at_(at) {}
  const std::uint8_t* at() const { return at_; }
  void skip(std::uintptr_t n) { at_ += n; }
  template <class T>
  T take() {
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::uint64_t unsigned_leb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t byte = *at_++;
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) return value;
    }
  }
  std::int64_t signed_leb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;;) {
      const std::uint8_t byte = *at_++;
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if ((byte & 0x40) && shift < 64) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
  }
  // A pointer in one of the encodings that linkers use: false for others.
  bool pointer(std::uint8_t encoding, std::uintptr_t& value) {
    const auto here = reinterpret_cast<std::uintptr_t>(at_);
    switch (encoding & 0x0f) {
      case 0x00: case 0x04: case 0x0c: value = take<std::uint64_t>(); break;
      case 0x03: value = take<std::uint32_t>(); break;
      case 0x0b: value = static_cast<std::uintptr_t>(std::intptr_t{take<std::int32_t>()}); break;
      default: return false;
    }
    if ((encoding & 0x70) == 0x10) value += here;  // relative to itself
    return (encoding & 0x70) == 0 || (encoding & 0x70) == 0x10;
  }

 private:
  const std::uint8_t* at_;
};

// .eh_frame_hdr: version, encodings, then a table sorted by address, both columns relative to the header.
constexpr std::uint8_t kSortedTable[4] = {1, 0x1b, 0x03, 0x3b};
struct TableRow { std::int32_t start, description; };

const std::uint8_t* find_description(const std::uint8_t* header, std::uintptr_t pc) {
  if (std::memcmp(header, kSortedTable, sizeof kSortedTable) != 0) return nullptr;
  std::uint32_t count;
  std::memcpy(&count, header + 8, sizeof count);
  const std::uint8_t* table = header + 12;
  const auto row = [&](std::uint32_t i) {
    TableRow r;
    std::memcpy(&r, table + i * sizeof r, sizeof r);
    return r;
  };
  const auto base = reinterpret_cast<std::uintptr_t>(header);
  const auto starts_by = [&](std::uint32_t i) { return base + static_cast<std::uintptr_t>(std::intptr_t{row(i).start}) <= pc; };
  if (count == 0 || !starts_by(0)) return nullptr;
  std::uint32_t low = 0;  // the last row that starts at or before pc is in [low, count)
  while (count - low > 1) {
    const std::uint32_t middle = low + (count - low) / 2;
    if (starts_by(middle)) low = middle;
    else count = middle;
  }
  return header + row(low).description;
}

// Common part of several descriptions (CIE).
struct Common {
  std::uint64_t code_unit = 1;
  std::int64_t data_unit = 1;
  std::uint8_t pointer_encoding = 0;
  bool has_data = false, is_signal = false, understood = false;
  const std::uint8_t* program = nullptr;
  const std::uint8_t* end = nullptr;
};

Common read_common(const std::uint8_t* at) {
  Reader in(at);
  Common c;
  const auto length = in.take<std::uint32_t>();
  c.end = in.at() + length;
  if (length == 0xffffffff || in.take<std::uint32_t>() != 0) return c;
  const auto version = in.take<std::uint8_t>();
  const char* letters = reinterpret_cast<const char*>(in.at());
  in.skip(std::strlen(letters) + 1);
  c.code_unit = in.unsigned_leb();
  c.data_unit = in.signed_leb();
  if (version == 1) in.skip(1);
  else in.unsigned_leb();
  const std::uint8_t* after = in.at();
  if (*letters == 'z') {
    c.has_data = true;
    const std::uint64_t bytes = in.unsigned_leb();
    after = in.at() + bytes;
    for (++letters; *letters != '\0'; ++letters) {
      std::uintptr_t ignored;
      if (*letters == 'R') c.pointer_encoding = in.take<std::uint8_t>();
      else if (*letters == 'L') in.skip(1);
      else if (*letters == 'S') c.is_signal = true;
      else if (*letters != 'P' || !in.pointer(in.take<std::uint8_t>() & 0x7f, ignored)) return c;
    }
  } else if (*letters != '\0') {
    return c;
  }
  c.program = after;
  c.understood = version == 1 || version == 3;
  return c;
}

constexpr std::uint64_t kBp = 6, kSp = 7, kReturnAddress = 16;  // DWARF's numbers of registers

struct Where {
  enum Kind : std::uint8_t { in_register, at_offset, nowhere, elsewhere } kind = in_register;
  std::int64_t offset = 0;
};
struct Row {
  enum Kind : std::uint8_t { reg, word_at_bp, other } frame = reg;
  std::uint64_t frame_register = kSp;
  std::int64_t frame_offset = 0;
  Where bp, return_address;
};

// The expression of a realigned stack: the word at the frame pointer + n. Anything else is not understood.
void set_expression(Row& row, const std::uint8_t* expression, std::uint64_t bytes) {
  row.frame = Row::other;
  if (bytes < 3 || expression[0] != 0x76 || expression[bytes - 1] != 0x06) return;  // DW_OP_breg6 n, DW_OP_deref
  Reader in(expression + 1);
  row.frame_offset = in.signed_leb();
  if (in.at() == expression + bytes - 1) row.frame = Row::word_at_bp;
}

// Runs the programs of a description up to `pc`. False: an instruction is unknown.
class Machine {
 public:
  Machine(const Common& common, std::uintptr_t start, std::uintptr_t pc) : common_(common), at_(start), pc_(pc) {}

  bool run(const std::uint8_t* from, const std::uint8_t* end) {
    Reader in(from);
    while (in.at() < end && at_ <= pc_)
      if (!step(in)) return false;
    return true;
  }
  void keep_initial() { initial_ = row; }
  Row row;

 private:
  static constexpr unsigned kDepth = 8;

  Where* column(std::uint64_t reg) { return reg == kBp ? &row.bp : reg == kReturnAddress ? &row.return_address : nullptr; }
  void set(std::uint64_t reg, Where where) {
    if (Where* c = column(reg)) *c = where;
  }
  void restore(std::uint64_t reg) {
    if (reg == kBp) row.bp = initial_.bp;
    if (reg == kReturnAddress) row.return_address = initial_.return_address;
  }
  std::int64_t scaled(std::int64_t n) const { return n * common_.data_unit; }
  void advance(std::uint64_t units) { at_ += units * common_.code_unit; }

  bool step(Reader& in) {
    const auto code = in.take<std::uint8_t>();
    const std::uint64_t low = code & 0x3f;
    switch (code & 0xc0) {
      case 0x40: advance(low); return true;
      case 0x80: set(low, {Where::at_offset, scaled(static_cast<std::int64_t>(in.unsigned_leb()))}); return true;
      case 0xc0: restore(low); return true;
      default: return low <= 0x09 || low == 0x2e ? step_registers(in, code) : step_frame(in, code);
    }
  }
  bool step_registers(Reader& in, std::uint8_t code) {
    std::uint64_t reg;
    switch (code) {
      case 0x00: return true;                                         // nop
      case 0x02: advance(in.take<std::uint8_t>()); return true;       // advance_loc1, 2, 4
      case 0x03: advance(in.take<std::uint16_t>()); return true;
      case 0x04: advance(in.take<std::uint32_t>()); return true;
      case 0x05:                                                      // offset_extended
        reg = in.unsigned_leb();
        set(reg, {Where::at_offset, scaled(static_cast<std::int64_t>(in.unsigned_leb()))});
        return true;
      case 0x06: restore(in.unsigned_leb()); return true;             // restore_extended
      case 0x07: set(in.unsigned_leb(), {Where::nowhere}); return true;      // undefined
      case 0x08: set(in.unsigned_leb(), {Where::in_register}); return true;  // same_value
      case 0x09:                                                      // register
        set(in.unsigned_leb(), {Where::elsewhere});
        in.unsigned_leb();
        return true;
      case 0x2e: in.unsigned_leb(); return true;                      // GNU_args_size
      default: return false;                                          // set_loc: gcc and clang do not emit it
    }
  }
  bool step_frame(Reader& in, std::uint8_t code) {
    std::uint64_t bytes;
    switch (code) {
      case 0x0a:                                                      // remember_state
        if (depth_ == kDepth) return false;
        remembered_[depth_++] = row;
        return true;
      case 0x0b:                                                      // restore_state
        if (depth_ == 0) return false;
        row = remembered_[--depth_];
        return true;
      case 0x0c:                                                      // def_cfa
        row.frame = Row::reg;
        row.frame_register = in.unsigned_leb();
        row.frame_offset = static_cast<std::int64_t>(in.unsigned_leb());
        return true;
      case 0x0d: row.frame = Row::reg; row.frame_register = in.unsigned_leb(); return true;  // def_cfa_register
      case 0x0e: row.frame_offset = static_cast<std::int64_t>(in.unsigned_leb()); return true;  // def_cfa_offset
      case 0x0f:                                                      // def_cfa_expression
        bytes = in.unsigned_leb();
        set_expression(row, in.at(), bytes);
        in.skip(bytes);
        return true;
      case 0x10: case 0x16: {                                         // expression, val_expression
        const std::uint64_t reg = in.unsigned_leb();
        bytes = in.unsigned_leb();
        set_saved_by_expression(reg, in.at(), bytes, code);
        in.skip(bytes);
        return true;
      }
      case 0x11: {                                                    // offset_extended_sf
        const std::uint64_t reg = in.unsigned_leb();
        set(reg, {Where::at_offset, scaled(in.signed_leb())});
        return true;
      }
      case 0x12:                                                      // def_cfa_sf
        row.frame = Row::reg;
        row.frame_register = in.unsigned_leb();
        row.frame_offset = scaled(in.signed_leb());
        return true;
      case 0x13: row.frame_offset = scaled(in.signed_leb()); return true;  // def_cfa_offset_sf
      default: return false;
    }
  }
  // A function that realigns its stack saves the frame pointer where it points: "at register 6 + 0".
  void set_saved_by_expression(std::uint64_t reg, const std::uint8_t* e, std::uint64_t bytes, std::uint8_t code) {
    const bool at_itself = code == 0x10 && reg == kBp && bytes == 2 && e[0] == 0x76 && e[1] == 0;
    if (at_itself) bp_at_bp = true;
    set(reg, {at_itself ? Where::in_register : Where::elsewhere});
  }

 public:
  bool bp_at_bp = false;

 private:
  const Common& common_;
  std::uintptr_t at_;
  const std::uintptr_t pc_;
  Row initial_;
  Row remembered_[kDepth];
  unsigned depth_ = 0;
};

FrameRule rule_of(const Machine& machine) {
  const Row& row = machine.row;
  if (row.return_address.kind == Where::nowhere) return {FrameKind::outermost};
  FrameRule rule;
  if (row.frame == Row::word_at_bp) rule.kind = FrameKind::at_bp;
  else if (row.frame == Row::reg && row.frame_register == kSp) rule.kind = FrameKind::from_sp;
  else if (row.frame == Row::reg && row.frame_register == kBp) rule.kind = FrameKind::from_bp;
  rule.offset = static_cast<std::int32_t>(row.frame_offset);
  // Where the frame's address comes from a word at the frame pointer, the caller's frame pointer is at the pointer itself.
  if (row.bp.kind == Where::at_offset) rule.saved_bp = static_cast<std::int32_t>(row.bp.offset);
  const bool plain = row.return_address.kind == Where::at_offset && row.return_address.offset == -8 &&
                     (row.bp.kind == Where::in_register || row.bp.kind == Where::at_offset) &&
                     machine.bp_at_bp == (rule.kind == FrameKind::at_bp);
  return plain ? rule : FrameRule{};
}

}  // namespace

FrameRule find_frame_rule(std::uintptr_t pc) {
  const Object object = find_object(pc);
  if (object.frame_table == nullptr) return {};
  const std::uint8_t* description = find_description(object.frame_table, pc);
  if (description == nullptr) return {};
  Reader in(description);
  const auto length = in.take<std::uint32_t>();
  const std::uint8_t* end = in.at() + length;
  const std::uint8_t* here = in.at();
  const Common common = read_common(here - in.take<std::uint32_t>());
  std::uintptr_t start, bytes;
  if (length == 0xffffffff || !common.understood || !in.pointer(common.pointer_encoding, start) ||
      !in.pointer(common.pointer_encoding & 0x0f, bytes) || pc - start >= bytes)
    return {};
  if (common.is_signal) return {FrameKind::signal};
  if (common.has_data) in.skip(in.unsigned_leb());
  Machine machine(common, start, pc);
  if (!machine.run(common.program, common.end)) return {};
  machine.keep_initial();
  if (!machine.run(in.at(), end)) return {};
  return rule_of(machine);
}

void remember_objects() {
  if (can_ask_linker()) return;
  object_count.store(0, std::memory_order_relaxed);
  dl_iterate_phdr(remember_object, nullptr);
}

CodeRange object_of(std::uintptr_t pc) { return find_object(pc).range; }

}  // namespace lull::sample

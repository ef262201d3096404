#include "alloc/sample/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "alloc/base/units.h"
#include "alloc/os/vm.h"

namespace lull::sample {
namespace {

constexpr std::size_t kPage = 4096;

std::string_view without_suffix(std::string_view name) {
  for (const std::string_view suffix : {".cold", ".part.", ".isra.", ".constprop.", ".lto_priv."})
    if (const std::size_t at = name.find(suffix); at != name.npos && at != 0) name = name.substr(0, at);
  return name;
}

}  // namespace

Symbols::Symbols(std::size_t most_addresses) : capacity_(std::max<std::size_t>(most_addresses, 1)) {
  entries_ = static_cast<Entry*>(os::map(bytes()));
  files_ = reinterpret_cast<File*>(entries_ + capacity_);
}

std::size_t Symbols::bytes() const { return round_up(capacity_ * sizeof(Entry) + kMostFiles * sizeof(File), kPage); }

Symbols::~Symbols() {
  for (std::size_t i = 0; i < file_count_; ++i) ::munmap(const_cast<std::byte*>(files_[i].start), files_[i].bytes);
  if (entries_ != nullptr) os::unmap(entries_, bytes());
}

void Symbols::add(std::uintptr_t address) {
  if (count_ < capacity_) entries_[count_++] = {address, {}};
}

Symbols::Entry* Symbols::first_from(std::uintptr_t address) const {
  return std::lower_bound(entries_, entries_ + count_, address, [](const Entry& e, std::uintptr_t a) { return e.address < a; });
}

void Symbols::resolve() {
  const auto less = [](const Entry& a, const Entry& b) { return a.address < b.address; };
  const auto same = [](const Entry& a, const Entry& b) { return a.address == b.address; };
  std::sort(entries_, entries_ + count_, less);
  count_ = static_cast<std::size_t>(std::unique(entries_, entries_ + count_, same) - entries_);
  dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* self) {
    std::uintptr_t low = ~std::uintptr_t{0}, high = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      ElfW(Phdr) header;
      if (!os::copy_if_mapped(&header, &info->dlpi_phdr[i], sizeof header)) return 0;  // this thread is just closing it
      if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
      low = std::min<std::uintptr_t>(low, info->dlpi_addr + header.p_vaddr);
      high = std::max<std::uintptr_t>(high, info->dlpi_addr + header.p_vaddr + header.p_memsz);
    }
    const char* path = info->dlpi_name[0] != '\0' ? info->dlpi_name : "/proc/self/exe";
    static_cast<Symbols*>(self)->read_file(path, info->dlpi_addr, low, high);
    return 0;
  }, this);
}

// A file whose code none of the addresses lies in is not opened.
void Symbols::read_file(const char* path, std::uintptr_t base, std::uintptr_t low, std::uintptr_t high) {
  const Entry* first = first_from(low);
  if (low >= high || first == entries_ + count_ || first->address >= high || file_count_ == kMostFiles) return;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  struct stat about;
  void* start = MAP_FAILED;
  if (::fstat(fd, &about) == 0 && static_cast<std::size_t>(about.st_size) >= sizeof(ElfW(Ehdr)))
    start = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (start == MAP_FAILED) return;
  File& file = files_[file_count_++];
  file = {static_cast<const std::byte*>(start), static_cast<std::size_t>(about.st_size)};
  if (std::memcmp(start, ELFMAG, SELFMAG) != 0) return;
  if (!read_table(file, SHT_SYMTAB, base)) read_table(file, SHT_DYNSYM, base);
}

// False: the file has no such table, or is no file as it should be.
bool Symbols::read_table(const File& file, std::uint32_t type, std::uintptr_t base) {
  const auto fits = [&](std::uint64_t offset, std::uint64_t bytes) { return offset <= file.bytes && bytes <= file.bytes - offset; };
  const auto* elf = reinterpret_cast<const ElfW(Ehdr)*>(file.start);
  if (elf->e_shentsize != sizeof(ElfW(Shdr)) || !fits(elf->e_shoff, std::uint64_t{elf->e_shnum} * sizeof(ElfW(Shdr)))) return false;
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(file.start + elf->e_shoff);
  const auto* table = std::find_if(sections, sections + elf->e_shnum, [&](const ElfW(Shdr)& s) { return s.sh_type == type; });
  if (table == sections + elf->e_shnum || table->sh_link >= elf->e_shnum || !fits(table->sh_offset, table->sh_size)) return false;
  const ElfW(Shdr)& text = sections[table->sh_link];
  if (!fits(text.sh_offset, text.sh_size) || text.sh_size == 0 || file.start[text.sh_offset + text.sh_size - 1] != std::byte{0}) return false;
  const auto* names = reinterpret_cast<const char*>(file.start + text.sh_offset);
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(file.start + table->sh_offset);
  for (std::size_t i = 0; i < table->sh_size / sizeof(ElfW(Sym)); ++i) {
    const ElfW(Sym)& s = symbols[i];
    if (ELF64_ST_TYPE(s.st_info) == STT_FUNC && s.st_shndx != SHN_UNDEF && s.st_name < text.sh_size)
      note(base + s.st_value, base + s.st_value + s.st_size, without_suffix(names + s.st_name));
  }
  return true;
}

void Symbols::note(std::uintptr_t from, std::uintptr_t to, std::string_view name) {
  for (Entry* e = first_from(from); e != entries_ + count_ && e->address < to; ++e)
    if (e->name.empty() || name.size() < e->name.size()) e->name = name;  // aliases: the shortest
}

std::string_view Symbols::name_of(std::uintptr_t address) const {
  const Entry* e = first_from(address);
  return e != entries_ + count_ && e->address == address ? e->name : std::string_view();
}

bool Symbols::has_names(std::uintptr_t from, std::uintptr_t to) const {
  for (const Entry* e = entries_ == nullptr ? nullptr : first_from(from); e != nullptr && e != entries_ + count_ && e->address < to; ++e)
    if (!e->name.empty()) return true;
  return false;
}

}  // namespace lull::sample

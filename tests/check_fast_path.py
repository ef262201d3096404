#!/usr/bin/env python3
"""The machine code of the fast paths, held to a budget: no call, no locked instruction, few instructions.

    check_fast_path.py COMPILER INCLUDE_DIR [--show]

Compiles PROBE, and the sources of malloc's names, with release flags, disassembles them, and follows every path through each function
that meets no call. docs/design/fast_paths.md explains the code.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

PROBE = """
#include <lull/lull.h>

struct Leaf {
  long words[3];
};
template <>
struct lull::no_pointers<Leaf> : std::true_type {};

struct Node {
  lull::ptr<Node> left, right;
  long value;
  void trace(lull::tracer& t) const { t(left, right); }
};

extern "C" [[gnu::flatten]] void* fast_allocate() { return lull::detail::allocate_for<Node>(); }
extern "C" [[gnu::flatten]] Leaf* fast_make_leaf() { return lull::make<Leaf>().get(); }
extern "C" [[gnu::flatten]] Node* fast_make_node() { return lull::make<Node>().get(); }
extern "C" [[gnu::flatten]] void fast_store(lull::ptr<Node>& slot, const lull::ptr<Node>& from) { slot = from; }
extern "C" [[gnu::flatten]] Node* fast_load(const Node& node) { return node.left->right.get(); }
"""
C_PROBE = """
#include <lull/lull_c.h>

struct pair {
  void *first, *second;
  long value;
};
extern lull_kind pair_kind;

void* c_new(void) { return lull_new_sized(&pair_kind, sizeof(struct pair)); }
void* c_new_of_kind(lull_kind* kind) { return lull_new(kind); }
void* c_cons(void* first, void* second) {
  struct pair* p = lull_new_sized(&pair_kind, sizeof(struct pair));
  lull_initialize(&p->first, first);
  lull_initialize(&p->second, second);
  return p;
}
void c_store(void** slot, void** from) { lull_store(slot, *from); }
void c_poll(void) { lull_poll(); }
"""
FLAGS = ["-std=c++20", "-O2", "-DNDEBUG", "-fomit-frame-pointer", "-c"]
# As liblull-malloc.so has them, where the functions are (alloc/CMakeLists.txt).
MALLOC_FLAGS = [*FLAGS, "-fPIC", "-fno-rtti", "-fno-exceptions", "-ftls-model=initial-exec", "-fno-builtin-malloc", "-fno-builtin-calloc",
                "-fvisibility=hidden", "-fvisibility-inlines-hidden"]
MALLOC_SOURCES = ("alloc/replace/malloc.cc", "alloc/replace/operator_new.cc")
C_FLAGS = ["-std=c11", "-Wpedantic", "-Werror", *FLAGS[1:]]

# function: most instructions of the shortest and of the longest path without a call, prologue and return included.
# The longest ones build over memory that is not zero, dirty a card, and find that a cycle marks but has nothing to shade. Larger: a compiler may be a little worse.
BUDGET = {
    "fast_allocate": (13, 13),
    "fast_make_leaf": (16, 16),
    "fast_make_node": (30, 75),
    "fast_store": (22, 33),
    "fast_load": (4, 4),
    # The C interface: the same code.
    "c_new": (13, 13),
    "c_new_of_kind": (14, 14),
    "c_cons": (22, 22),
    "c_store": (22, 33),
    "c_poll": (5, 5),
    # malloc's names: a block of the bin, or the first of the next magazine; free compares its key, a sized one the size as well.
    "malloc": (22, 30),
    "free": (42, 42),
    "free_sized": (46, 46),
    "_Znwm": (28, 33),
    "_ZdlPv": (42, 42),
    "_ZdlPvm": (46, 46),
}
# Where a path may leave for a slow half.
SLOW = ("allocate_slow", "barrier_slow", "overwrite_with_null_slow", "lull_new_slow_", "lull_poll_slow_",
        "malloc_slow", "free_slow", "free_sized_slow", "new_failed")

INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\t(.*?)\s*$")
RELOCATION = re.compile(r"^\s+[0-9a-f]+: R_X86_64_\w+\s+(\S+)")
TARGET = re.compile(r"\b([0-9a-f]+) <")


class Instruction:
    def __init__(self, text):
        self.text = text
        self.symbol = ""  # of its relocation

    @property
    def mnemonic(self):
        return self.text.split()[0] if self.text else ""

    def target(self):
        found = TARGET.search(self.text)
        return int(found.group(1), 16) if found else None

    def is_call(self):
        return self.mnemonic.startswith("call") or (self.mnemonic == "jmp" and (self.symbol != "" or "*" in self.text))

    def is_locked(self):
        return self.mnemonic == "lock" or (self.mnemonic.startswith("xchg") and "(" in self.text) or self.mnemonic in ("mfence", "cpuid")


def parse(disassembly, name):
    """{address: Instruction} of a function, padding left out."""
    body = disassembly.split(f"<{name}>:\n", 1)[1].split("\n\n", 1)[0]
    code, last = {}, None
    for line in body.splitlines():
        if found := INSTRUCTION.match(line):
            last = Instruction(found.group(2).split("#")[0].strip())
            code[int(found.group(1), 16)] = last
        elif (found := RELOCATION.match(line)) and last is not None:
            last.symbol = found.group(1)
    return code


def path_lengths(code):
    """Shortest and longest loop-free path from the entry to a return that meets no call; (None, None) without one."""
    addresses = sorted(code)
    following = dict(zip(addresses, addresses[1:]))
    memory = {}

    def visit(at, seen):
        if at in memory:
            return memory[at]
        if at not in code or at in seen or code[at].is_call():
            return None
        instruction = code[at]
        if instruction.mnemonic.startswith("ret"):
            return 1, 1
        if instruction.mnemonic == "jmp":
            successors = [instruction.target()]
        elif instruction.mnemonic.startswith("j"):
            successors = [instruction.target(), following.get(at)]
        else:
            successors = [following.get(at)]
        found = [lengths for s in successors if (lengths := visit(s, seen | {at}))]
        if not found:
            return None
        memory[at] = 1 + min(f[0] for f in found), 1 + max(f[1] for f in found)
        return memory[at]

    return visit(addresses[0], frozenset()) or (None, None)


def check(name, code):
    """Complaints about one function."""
    for instruction in code.values():
        if instruction.is_locked():
            yield f"{name}: locked instruction: {instruction.text}"
        if instruction.is_call() and not any(slow in instruction.symbol for slow in SLOW):
            yield f"{name}: call of {instruction.symbol or instruction.text}"
    shortest, longest = path_lengths(code)
    if shortest is None:
        yield f"{name}: no path without a call"
        return
    most_shortest, most_longest = BUDGET[name]
    print(f"{name:<16} {shortest:>3} to {longest:>3} instructions (budget {most_shortest}, {most_longest})")
    if shortest > most_shortest or longest > most_longest:
        yield f"{name}: {shortest} to {longest} instructions, more than {most_shortest} to {most_longest}"


def disassemble_file(compiler, include_dir, source, flags):
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder, "probe.o")
        subprocess.run([compiler, *flags, f"-I{include_dir}", f"-I{pathlib.Path(include_dir).parent}", source, "-o", output], check=True)
        return subprocess.run(["objdump", "-dr", "--no-show-raw-insn", output], check=True, capture_output=True, text=True).stdout


def disassemble(compiler, include_dir, probe, flags):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "probe")
        source.write_text(probe)
        return disassemble_file(compiler, include_dir, source, flags)


def main():
    sys.setrecursionlimit(10_000)
    text = disassemble(sys.argv[1], sys.argv[2], PROBE, [*FLAGS, "-x", "c++"])
    text += "\n" + disassemble(sys.argv[1], sys.argv[2], C_PROBE, [*C_FLAGS, "-x", "c"])
    for source in MALLOC_SOURCES:
        text += "\n" + disassemble_file(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[2]).parent / source, MALLOC_FLAGS)
    version = subprocess.run([sys.argv[1], "--version"], check=True, capture_output=True, text=True).stdout
    skipped = ["fast_make_node"] if "clang" in version else []  # clang does not inline std::construct_at there
    functions = {name: parse(text, name) for name in BUDGET if name not in skipped}
    if "--show" in sys.argv:
        for name, code in functions.items():
            print(f"{name}:", *(f"  {at:4x}  {i.text}  {i.symbol}" for at, i in code.items()), sep="\n")
    complaints = [c for name, code in functions.items() for c in check(name, code)]
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Includes go down only.

    check_layers.py ROOT         reads every #include of include/, alloc/, gc/ and debug/ below ROOT; prints what breaks the order
    check_layers.py --self-test  plants violations in a scratch tree and expects each to be found
"""

import pathlib
import re
import sys
import tempfile

# From the bottom to the top. Folders of one rank do not see each other, except as ALLOWED says.
RANKS = [
    ["include/lull"],
    ["alloc/base"],
    ["alloc/os"],
    ["alloc/trace"],
    ["alloc/pages"],
    ["alloc/cache", "alloc/sample"],
    ["alloc/front"],
    ["alloc/replace"],
    ["gc/model"],
    ["gc/mutator"],
    ["gc/mark", "gc/weak", "gc/sweep", "gc/remember"],
    ["gc/pace"],
    ["gc/cycle"],
    ["gc/report"],
    ["gc/api"],
    ["gc/fcontext"],
    ["debug"],
]
# (from, to) within one rank
ALLOWED = [("gc/weak", "gc/mark"), ("gc/remember", "gc/mark")]

RANK_OF = {folder: rank for rank, folders in enumerate(RANKS) for folder in folders}
SOURCES = {".h", ".cc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def folder_of(path):
    """The ranked folder that `path` (a string relative to the root) lies in, or None."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        folder = "/".join(parts[:length])
        if folder in RANK_OF:
            return folder
    return None


def target_of(quote, name):
    """The path from the root that an #include names; None for headers of the system."""
    if name.startswith("lull/"):
        return "include/" + name
    if name.startswith(("alloc/", "gc/", "debug/", "include/")) or quote == '"':
        return name
    return None


def complaint(source, target):
    """What is wrong with `source` including `target`, or None. `source` lies in a ranked folder."""
    at, to = folder_of(source), folder_of(target)
    if to is None:
        return "names no folder of the layer table (write includes from the root)"
    if at == to or RANK_OF[to] < RANK_OF[at] or (at, to) in ALLOWED:
        return None
    relation = "has the same rank" if RANK_OF[to] == RANK_OF[at] else "is above"
    return f"{to} (rank {RANK_OF[to]}) {relation} {at} (rank {RANK_OF[at]})"


def sources(root):
    return [path for top in ("include", "alloc", "gc", "debug") for path in sorted((root / top).rglob("*"))
            if path.suffix in SOURCES]


def violations(root):
    found = []
    for path in sources(root):
        source = path.relative_to(root).as_posix()
        if folder_of(source) is None:
            found.append(f"{source}: its folder has no rank")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            target = match and target_of(*match.groups())
            wrong = target and complaint(source, target)
            if wrong:
                found.append(f"{source}:{number}: {match.group(2)}: {wrong}")
    return found


# (file, its text, is a violation)
PLANTED = [
    ("alloc/pages/a.h", '#include "alloc/os/vm.h"\n#include <sys/mman.h>\n', False),
    ("alloc/pages/b.h", '#include "alloc/cache/span_set.h"\n', True),
    ("alloc/os/c.cc", '  #  include "gc/model/phase.h"\n', True),
    ("alloc/base/d.h", "#include <lull/detail/kind.h>\n", False),
    ("include/lull/e.h", '#include "alloc/base/check.h"\n', True),
    ("include/lull/detail/f.h", "#include <gc/model/kinds.h>\n", True),
    ("include/lull/detail/g.h", '#include "lull/ptr.h"\n', False),
    ("gc/model/h.h", '#include "gc/mutator/mutator.h"\n', True),
    ("gc/weak/i.h", '#include "gc/mark/marker.h"\n', False),
    ("gc/mark/j.h", '#include "gc/weak/weak_cells.h"\n', True),
    ("gc/sweep/k.h", '#include "gc/mark/marker.h"\n', True),
    ("gc/pace/l.cc", '// #include "gc/cycle/cycle.h"\n', False),
    ("gc/cycle/m.cc", '#include "gc/report/mem_stats.h"\n', True),
    ("gc/cycle/n.cc", '#include "pacing.h"\n', True),
    ("gc/attic/o.cc", "#include <vector>\n", True),
]


def self_test():
    wrong = 0
    for name, text, expected in PLANTED:
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
            found = violations(pathlib.Path(scratch))
        if bool(found) != expected:
            wrong += 1
            print(f"{name} with {text!r}: expected {'a violation' if expected else 'none'}, found {found}")
    print(f"self-test: {len(PLANTED)} planted files, {wrong} judged wrongly")
    return wrong == 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 0 if self_test() else 1
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    root = pathlib.Path(sys.argv[1])
    read, found = len(sources(root)), violations(root)
    print("allowed within a rank:", ", ".join(f"{a} -> {b}" for a, b in ALLOWED))
    for line in found:
        print(line)
    print(f"{read} files, {len(found)} violations")
    return 1 if found or read == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

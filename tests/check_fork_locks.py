#!/usr/bin/env python3
"""A fork holds every lock of alloc/ and gc/, or there is a reason why it need not.

    check_fork_locks.py ROOT         reads every definition of an os::Lock below alloc/ and gc/
    check_fork_locks.py --self-test  plants locks in a scratch tree and expects each to be judged right

A lock counts as held if its file, or the .cc or .h of the same name, has a function ..._for_fork() or ..._across_fork() that one of the
handlers calls, or is named in HELD.
"""

import pathlib
import re
import sys
import tempfile

HANDLERS = ["gc/cycle/fork.cc", "alloc/front/fork_gate.cc"]
LOCK = re.compile(r"^\s*(?:constinit\s+)?(?:os::)?Lock\s+(\w+)\s*[{;]", re.M)
ACCESSOR = re.compile(r"\b(\w+_(?:for|across)_fork)\(\)")

# file: (lock's name, how the handlers name it)
HELD = {
    "alloc/front/thread_bins.cc": "bins_lock()",
    "gc/mutator/handshake.h": "mutators.lock",
    "gc/cycle/driver.cc": "cycle_gate()",
    "alloc/front/heap_object.h": "lock_heaps_across_fork()",
}
# file: why a fork need not hold its locks
EXEMPT = {
    "alloc/front/block_arrays.cc": "taken in visits only, and a fork waits until those are over (alloc/front/fork_gate.h)",
    "alloc/front/strangers.cc": "taken in visits only, and a fork waits until those are over (alloc/front/fork_gate.h)",
    "alloc/front/secure.cc": "taken in visits only, and a fork waits until those are over (alloc/front/fork_gate.h)",
    "gc/model/ephemerons.h": "taken while a cycle marks, and a fork holds the cycle gate",
    "gc/mark/trace_check.cc": "taken while a cycle marks, and a fork holds the cycle gate",
}


def complaints(root, exempt=EXEMPT, held=HELD):
    handlers = "".join((root / h).read_text() for h in HANDLERS)
    bad, with_locks = [], set()
    for path in sorted(p for folder in ("alloc", "gc") for p in (root / folder).rglob("*") if p.suffix in (".h", ".cc")):
        name = path.relative_to(root).as_posix()
        locks = LOCK.findall(path.read_text())
        if not locks or name == "alloc/os/lock.h":
            continue
        with_locks.add(name)
        if name in exempt or held.get(name, "\0") in handlers:
            continue
        own = "".join(p.read_text() for p in (path.with_suffix(".h"), path.with_suffix(".cc")) if p.exists())
        accessors = set(ACCESSOR.findall(own))
        called = [a for a in accessors if re.search(rf"\b{a}\(\)", handlers)]
        if len(called) < len(locks):
            bad.append(f"{name}: {', '.join(locks)}: no fork holds it, and EXEMPT has no reason")
    bad += [f"{name}: has no lock any more" for name in sorted({*exempt, *held} - with_locks)]
    return bad


def self_test():
    def judge(files, exempt=(), held=()):
        with tempfile.TemporaryDirectory() as scratch:
            root = pathlib.Path(scratch)
            for name, text in {**dict.fromkeys(HANDLERS, ""), **files}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return len(complaints(root, dict(exempt), dict(held)))

    lock = "constinit os::Lock lock{os::LockRank::kinds};  // why\n"
    accessor = "os::Lock& a_lock_for_fork() { return lock; }\n"
    held = {"gc/cycle/fork.cc": "&a_lock_for_fork(),"}
    cases = [
        ("nobody holds it", 1, judge({"gc/a.cc": lock})),
        ("held", 0, judge({"gc/a.cc": lock + accessor, **held})),
        ("an accessor that nobody calls", 1, judge({"gc/a.cc": lock + accessor})),
        ("another's accessor", 1, judge({"gc/a.cc": lock, "gc/b.cc": lock + accessor, **held})),
        ("two locks, one accessor", 1, judge({"gc/a.cc": lock + "os::Lock other{os::LockRank::kinds};\n" + accessor, **held})),
        ("a member, its accessor in the header", 0, judge({"gc/a.h": "  os::Lock lock_{os::LockRank::pages};\n" + accessor, **held})),
        ("exempt", 0, judge({"gc/a.cc": lock}, {"gc/a.cc": "why"})),
        ("exempt, and gone", 1, judge({"gc/a.cc": ""}, {"gc/a.cc": "why"})),
        ("held by name", 0, judge({"gc/a.cc": lock, "gc/cycle/fork.cc": "&gate()"}, held={"gc/a.cc": "gate()"})),
        ("no longer held by name", 1, judge({"gc/a.cc": lock}, held={"gc/a.cc": "gate()"})),
        ("a reference is no lock", 0, judge({"gc/a.cc": "void f(os::Lock& lock);\nos::Locked locked(lock);\n"})),
    ]
    wrong = [name for name, expected, got in cases if expected != got]
    print("\n".join(f"wrong: {name}" for name in wrong) or f"{len(cases)} cases")
    return not wrong


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 0 if self_test() else 1
    bad = complaints(pathlib.Path(sys.argv[1]))
    print("\n".join(bad) or "every lock is held over a fork, or has a reason")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

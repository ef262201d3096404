#!/usr/bin/env python3
"""LULL_MALLOC=guard: guard_run.py LIBRARY PROGRAM runs PROGRAM (guarded.cc) with LIBRARY preloaded and reads its reports."""

import os
import re
import shutil
import signal
import subprocess
import sys

LIBRARY, PROGRAM = map(os.path.abspath, sys.argv[1:3])


def run(how, guard="guard=1"):
    environment = {**os.environ, "LD_PRELOAD": LIBRARY, "LULL_MALLOC": guard, "LULL_PROFILE_RATE": "1"}
    return subprocess.run([PROGRAM, how], env=environment, capture_output=True, text=True, timeout=120)


def functions(report, part):
    """Names of the program's functions in the stack that begins with `part`."""
    lines = report.splitlines()
    begin = next(i for i, line in enumerate(lines) if part in line) + 1
    offsets = []
    for line in lines[begin:]:
        if not line.startswith("lull:     #"):
            break
        offsets += re.findall(r"the program\+(0x[0-9a-f]+)", line)
    names = subprocess.run(["addr2line", "-f", "-e", PROGRAM, *offsets], capture_output=True, text=True).stdout
    return names.split("\n")[::2]


def expect(done, code, says, stacks):
    assert done.returncode == code and says in done.stderr, done
    assert done.stderr.count("lull: ") == len(done.stderr.splitlines()) and done.stderr.count(says) == 1, done.stderr
    for part, name in stacks.items():
        if shutil.which("addr2line"):
            assert name in functions(done.stderr, part), (part, name, done.stderr)


def main():
    for how in ("nothing", "handler"):
        for guard in ("", "guard", "guard=1", "guard=3,secure"):
            done = run(how, guard)
            assert done.stderr == "", done
            assert (done.returncode, done.stdout) == ((0, "done\n") if how == "nothing" else (3, "handler\n")), done
    expect(run("overflow"), -signal.SIGSEGV, "buffer overflow: write to", {"written by": "misuse_block", "allocated by": "make_block"})
    for how in ("use_after_free", "in_thread"):
        expect(run(how), -signal.SIGSEGV, "use after free: write to",
               {"written by": "misuse_block", "allocated by": "make_block", "freed by": "end_block"})
    expect(run("double_free"), -signal.SIGABRT, "double free of", {"allocated by": "make_block", "freed by": "end_block"})
    return 0


if __name__ == "__main__":
    sys.exit(main())

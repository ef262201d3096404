#!/usr/bin/env python3
"""tools/gdb/lull.py in the debugger: check_gdb.py PROGRAM SCRIPT stops PROGRAM (gc/printed.cc) in main and compares what is printed.
Exit 77: there is no gdb, or it cannot run programs here."""

import re
import shutil
import subprocess
import sys

PROGRAM, SCRIPT = sys.argv[1:3]

# (command, expected: a regular expression for all of the output)
EXPECTED = [
    ("print node", r"lull::ptr\(0xADDR\) = {\* = {next = lull::ptr\(0xADDR\) = {\* = {next = lull::ptr\(nullptr\), value = 43}}, value = 42}}"),
    ("print kept", r"lull::root\(0xADDR\) = {\* = {next = .*, value = 42}}"),
    ("print empty_root", r"lull::root\(nullptr\)"),
    ("print empty", r"lull::ptr\(nullptr\)"),
    ("print array", r"lull::ptr\(0xADDR, 3 elements\) = {\[0\] = 10, \[1\] = 11, \[2\] = 12}"),
    ("print weak", r"lull::weak_ptr\(0xADDR\)"),
    ("print expired", r"lull::weak_ptr\(empty\)"),
    ("print numbers", r"lull::vector of 3, capacity \d+ = {1, 2, 3}"),
    ("print brief", r'"short"'),
    ("print lengthy", r'"a string that does not fit into its own object at all"'),
    ("print ordered", r'lull::map of 3 = {\[1\] = "v", \[2\] = "v", \[3\] = "v"}'),
    ("print hashed", r"lull::unordered_map of 3 = {(\[1\] = 10|\[2\] = 20|\[3\] = 30|, ){5}}"),
    ("print arena", r"lull::arena: 4 bytes handed out, \d+ left in the chunk"),
    ("lull object node", r"Node at 0xADDR, slot of 16 B\n  in use, marked: old\n  slot \d+ of \d+ in the span at 0xADDR \(\d+ pages\)"),
    ("lull object fresh", r"Node at 0xADDR, slot of 16 B\n  new: allocated by thread \d+ since the last cycle\n  .*"),
    ("lull object (char*) node.slot_.word_ + 3", r"Node at 0xADDR \+ 3, slot of 16 B\n  in use, marked: old\n  .*"),
    ("lull object 1", r"0x1 does not lie in lull's heap \[0xADDR, 0xADDR\)"),
    ("lull object &kept", r"0xADDR does not lie in lull's heap .*"),
    ("lull heap", r"heap \[0xADDR, 0xADDR\), \d+ pages of 8 KiB so far\n(.|\n)* +\d+ KiB  managed\n(.|\n)*collector: cycle \d+, last full one \d+, "
                  r"idle or sweeping; 1 threads attached\n(.|\n)* +32 +2 +\d+  Node\n(.|\n)*"),
    ("lull spans Node", r"0xADDR, \d+ pages, \d+ x 16 B of Node, 2 in use, 2 marked"),
]


def main():
    if shutil.which("gdb") is None:
        return 77
    commands = ["set pagination off", "set confirm off", "set width 0", "set debuginfod enabled off", f"source {SCRIPT}", "break stop_here", "run", "up"]
    for command, _ in EXPECTED:
        commands += ["echo \\n=====\\n", command]
    done = subprocess.run(["gdb", "-batch", "-nx", *(x for c in commands for x in ("-ex", c)), PROGRAM], capture_output=True, text=True, timeout=100)
    before, *answers = done.stdout.split("\n=====\n")
    if "stop_here ()" not in before:
        print(done.stdout, done.stderr)
        return 77 if re.search("ptrace|Operation not permitted", done.stderr) else 1
    wrong = 0
    for (command, expected), answer in zip(EXPECTED, answers, strict=True):
        answer = re.sub(r"^\$\d+ = ", "", answer).strip()
        if re.fullmatch(expected.replace("0xADDR", "0x[0-9a-f]+"), answer) is None:
            wrong += 1
            print(f"{command}\n  expected {expected}\n  got      {answer}")
    if wrong:
        print(done.stderr)
    print(f"{len(EXPECTED)} commands, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

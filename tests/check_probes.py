#!/usr/bin/env python3
"""The static probes are in the program, and the scripts of tools/bpftrace name probes that exist.

    check_probes.py PROGRAM ROOT    PROGRAM: one that uses the collector

Without <sys/sdt.h> there are no probes, and without readelf nobody can tell: then it says so and passes.
"""

import pathlib
import re
import shutil
import subprocess
import sys

# Probes of lull/alloc/trace/probes.h and how many arguments each has.
PROBES = {"step": 1, "cycle_begin": 1, "cycle_end": 3, "handshake_begin": 2, "handshake_end": 1, "answer": 3, "stop_begin": 1, "stopped": 1,
          "stop_end": 1, "assist": 2, "sweep": 2, "purge": 1, "destructor": 2, "span_create": 2, "span_destroy": 2}


def probes_in(program):
    notes = subprocess.run(["readelf", "-n", program], check=True, capture_output=True, text=True).stdout
    found = {}
    for name, arguments in re.findall(r"Provider: lull\s+Name: (\w+)\s+Location:.*\s+Arguments: ?(.*)", notes):
        found[name] = len(arguments.split())
    return found


def uses_in(scripts):
    for script in scripts:
        text = script.read_text()
        for name, body in re.findall(r"usdt:\*:lull:(\w+)[^{]*\{(.*?)\n?\}", text, re.S):
            for argument in re.findall(r"\barg(\d)\b", body):
                yield script.name, name, int(argument)
            yield script.name, name, -1


def main():
    program, root = sys.argv[1], pathlib.Path(sys.argv[2])
    scripts = sorted((root / "tools" / "bpftrace").glob("*.bt"))
    failures = [f"{script}: {name} has no argument {argument}" for script, name, argument in uses_in(scripts)
                if argument >= PROBES.get(name, -1)]
    if not scripts:
        failures.append("no scripts")
    if shutil.which("readelf") is None:
        print("readelf is not installed: the program was not looked at")
    else:
        found = probes_in(program)
        if not found:
            print("built without <sys/sdt.h>: no probes")
        elif found != PROBES:
            failures.append(f"probes differ: {set(found.items()) ^ set(PROBES.items())}")
        else:
            print(f"{len(found)} probes")
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

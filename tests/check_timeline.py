#!/usr/bin/env python3
"""LULL_TIMELINE writes a trace that viewers can draw.

    check_timeline.py PROGRAM    PROGRAM work (tests/gc/timeline_test.cc) is run with LULL_TIMELINE

It must be JSON in the Trace Event Format; spans of one thread nest or are apart, as viewers expect; cycles, their steps, handshakes
and threads' names are there.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


def check_event(e):
    check(e["ph"] in "XCM", f"phase {e}")
    check(isinstance(e["pid"], int) and isinstance(e["tid"], int) and e["tid"] > 0, f"ids {e}")
    check(isinstance(e["name"], str) and "?" not in e["name"], f"name {e}")
    if e["ph"] == "X":
        check(e["ts"] > 0 and e["dur"] >= 0 and isinstance(e["cat"], str), f"times {e}")
    if e["ph"] == "C":
        check(e["args"]["bytes"] >= 0, f"counter {e}")


def check_nesting(spans):
    """In nanoseconds, by begin; of spans that begin together the longer one first."""
    order = sorted((round(s["ts"] * 1000), -round(s["dur"] * 1000), s["name"]) for s in spans)
    open_spans = []
    for begin, minus, name in order:
        while open_spans and open_spans[-1][0] <= begin:
            open_spans.pop()
        end = begin - minus
        if open_spans:
            check(end <= open_spans[-1][0], f"{name} ends after {open_spans[-1][1]}, in which it began")
        open_spans.append((end, name))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.%p.json")
        subprocess.run([sys.argv[1], "work"], check=True, timeout=100, env=dict(os.environ, LULL_TIMELINE=path + ",65536"))
        names = os.listdir(folder)
        check(len(names) == 1 and names[0] != "run.%p.json", f"files {names}")
        with open(os.path.join(folder, names[0]), encoding="utf-8") as f:
            trace = json.load(f)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "work"], check=True, timeout=100, env=dict(os.environ, LULL_TIMELINE=os.path.join(folder, "a,b.json")))
        check(os.listdir(folder) == ["a,b.json"], f"a comma in the path: {os.listdir(folder)}")
    events = trace["traceEvents"]
    by_thread = collections.defaultdict(list)
    for e in events:
        check_event(e)
        if e["ph"] == "X":
            by_thread[e["tid"]].append(e)
    for spans in by_thread.values():
        check_nesting(spans)
    seen = collections.Counter(e["name"] for e in events)
    for name in ("full cycle", "mark", "sweep", "scan stacks", "handshake: flush", "heap", "goal", "destructor", "wait for a cycle"):
        check(seen[name] > 0, f"no '{name}' among {dict(seen)}")
    threads = {e["args"]["name"] for e in events if e["ph"] == "M"}
    check({"lull-gc", "lull-finalize"} <= threads, f"threads {threads}")
    for failure in failures[:20]:
        print("FAILED:", failure)
    print(f"{len(events)} events of {len(by_thread)} threads, {trace['otherData']['lost']} lost")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The programs of docs/examples/scheme on lull's Scheme and on Guile 3.0, in turn, medians.

    bench/scheme/compare.py SCHEME [--rounds 5] [--only REGEX] [--guile guile]

Wall and processor time (all threads, start-up included), peak memory, and the longest pause: lull's from its own histogram of handshakes, by the
clock; Guile's from the lines of its collector (GC_PRINT_STATS, in a run of its own: the longest "World-stopped marking"). Guile runs
compiled code: a first run fills its cache. Run it on an idle machine.
"""

import argparse
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

PROGRAMS = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/scheme/programs"


def timed(command, environment=None):
    """(wall s, cpu s, peak MiB, standard error) of a run; the output must be what is expected."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    out, err = process.communicate()
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    expected = (PROGRAMS / "expected" / (pathlib.Path(command[-1]).stem + ".txt")).read_text()
    if process.returncode != 0 or out != expected:
        sys.exit(f"{' '.join(map(str, command))}: wrong output\n{err[:500]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, err


def peak_mib(command):
    run = subprocess.run(["/usr/bin/time", "-f", "%M", *map(str, command)], capture_output=True, text=True)
    return int(run.stderr.strip().splitlines()[-1]) / 1024


def lull_pauses(err):
    return float(re.search(r" max_us ([\d.]+)", err).group(1)) / 1000, float(re.search(r"cpu_max_us ([\d.]+)", err).group(1)) / 1000


def guile_pause_ms(command):
    err = timed(command, {"GC_PRINT_STATS": "1"})[2]
    pauses = [int(ms) + int(ns) / 1e6 for ms, ns in re.findall(r"World-stopped marking took (\d+) ms (\d+) ns", err)]
    return max(pauses, default=0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scheme")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--guile", default="guile")
    arguments = parser.parse_args()
    print(f"{'program':10} {'lull wall':>9} {'guile':>7} {'ratio':>6}   {'lull cpu':>8} {'guile':>7}   {'lull MiB':>8} {'guile':>6}   "
          f"{'lull max pause ms':>17} {'(cpu)':>7} {'guile':>7}", flush=True)
    for program in sorted(PROGRAMS.glob("*.scm")):
        if not re.search(arguments.only, program.stem):
            continue
        lull = [arguments.scheme, "--stats", program]
        guile = [arguments.guile, "--use-srfi=1,9", "-s", program]
        timed(guile)  # compiles
        runs = {"lull": [], "guile": []}
        pauses = []
        for _ in range(arguments.rounds):
            wall, cpu, err = timed(lull)
            runs["lull"].append((wall, cpu))
            pauses.append(lull_pauses(err))
            runs["guile"].append(timed(guile)[:2])
        wall = {name: statistics.median(r[0] for r in r_) for name, r_ in runs.items()}
        cpu = {name: statistics.median(r[1] for r in r_) for name, r_ in runs.items()}
        print(f"{program.stem:10} {wall['lull']:9.2f} {wall['guile']:7.2f} {wall['guile'] / wall['lull']:6.2f}   {cpu['lull']:8.2f} {cpu['guile']:7.2f}   "
              f"{peak_mib(lull):8.0f} {peak_mib(guile):6.0f}   {statistics.median(p[0] for p in pauses):17.3f} "
              f"{statistics.median(p[1] for p in pauses):7.3f} {guile_pause_ms(guile):7.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

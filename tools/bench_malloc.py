"""The suite "malloc" of tools/bench: programs of our own and programs from Debian, each under every allocator.

An allocator is a library for LD_PRELOAD: glibc's own, Debian's mimalloc, jemalloc and tcmalloc, lull's, and those that
LULL_BENCH_PEERS names (name=path, separated by colons; a name from here replaces it). Within a round each case runs under
each allocator once, every round beginning with another one. A program has to print the same under all of them.

Measured: wall, user and system time, peak resident memory and minor faults of the program with its children, by wait4. Of
redis: the wall time of redis-benchmark, everything else of the server. Out come tables (median, least and greatest), geometric
means, DIR/malloc.csv and DIR/malloc.svg. idle_return and idle_threads measure what goes back to the kernel, longest_call single calls: they stay out of
the means.

--add keeps the cases of malloc.csv that this run does not repeat, so the suite can be run in parts; --rounds 0 --add only
reports. --lock shares a machine: the lock is held while building and for one round of one case at a time.
"""

import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import math
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from bench_common import (ROOT, build, find_library, number_or_text, print_machine, print_table, progress, short, write_csv)
from bench_plot import write_plot

RUN_TIMEOUT_S = 120
IDLE_ROUNDS = 3  # at most: these runs sleep
DEBIAN_PEERS = {"glibc": "libc.so.6", "mimalloc2": "libmimalloc.so.2", "jemalloc": "libjemalloc.so.2",
                "tcmalloc": "libtcmalloc_minimal.so.4"}
METRICS = ("wall_s", "cpu_s", "user_s", "system_s", "peak_mib", "faults")
TOLERABLE = 1.10  # lull's figure / the best peer's: what is above is named
JUDGED = ("wall_s", "cpu_s", "peak_mib")
INPUTS = ROOT / "bench/malloc/inputs"


@dataclasses.dataclass(frozen=True)
class Case:
    program: str
    arguments: str = ""
    quick: str = ""  # the arguments of --quick
    environment: tuple = ()
    kind: str = "own"  # own: a program of bench/malloc; idle: one that prints key=value pairs; debian; redis

    @property
    def name(self):
        words = [word for word in self.arguments.split() if "/" not in word] if self.kind in ("own", "idle") else []
        return " ".join([self.program, *words])


def debian(program, arguments, **environment):
    return Case(program, arguments, arguments, tuple(environment.items()), "debian")


CASES = (
    Case("fixed_small", "once", "once 0 1"),
    Case("fixed_small", "batch", "batch 0 1"),
    Case("random_lifetimes", "", "20000 1"),
    Case("server", "2", "2 2 10"),
    Case("server", "4 20", "4 2 10"),
    Case("producer_consumer", "1", "1 64 1"),
    Case("producer_consumer", "2 0 25", "2 0 1"),
    Case("thread_churn", "", "2 200"),
    Case("crowd", "", "64 2"),
    Case("rounds", "", "4 2"),
    Case("false_sharing", "active", "active 2 1000"),
    Case("false_sharing", "passive", "passive 2 1000"),
    Case("size_ramp", "realloc", "realloc 1"),
    Case("size_ramp", "containers", "containers 2"),
    Case("large_blocks", "", "20 200"),
    Case("sparse_retention", "", "2 100"),
    Case("batches", "1", "1 own 100"),
    Case("batches", "2 cross 3000", "2 cross 100"),
    Case("redis-server", "300000", "2000", (), "redis"),
    debian("clang++", f"-O1 -std=c++20 -c {INPUTS}/translation_unit.cc -o -"),
    debian("python3", f"{INPUTS}/objects.py", PYTHONMALLOC="malloc"),
    debian("sqlite3", f":memory: -init {INPUTS}/rows.sql .exit"),
    debian("perl", f"{INPUTS}/words.pl", PERL_HASH_SEED="0"),
    debian("z3", f"{INPUTS}/puzzles.smt2"),
    Case("idle_return", "small", "small 20 0", (), "idle"),
    Case("idle_return", "mixed", "mixed 20 0", (), "idle"),
    Case("idle_threads", "1000 2000", "20 100 0", (), "idle"),
    Case("longest_call", "", "20 1 0", (), "idle"),
)


def find_allocators(build_dir, wanted):
    """{name: path}; says what is missing."""
    allocators = {name: find_library(file) for name, file in DEBIAN_PEERS.items()}
    allocators["lull"] = str(build_dir / "alloc/liblull-malloc.so")
    for word in filter(None, os.environ.get("LULL_BENCH_PEERS", "").split(":")):
        name, _, path = word.partition("=")
        allocators[name] = path
    names = wanted.split(",") if wanted else list(allocators)
    if unknown := set(names) - set(allocators):
        sys.exit(f"tools/bench: no allocator is called {', '.join(sorted(unknown))}; there are {', '.join(allocators)}")
    missing = [name for name in names if not allocators[name] or not pathlib.Path(allocators[name]).exists()]
    for name in missing:
        print(f"missing    {name} ({allocators[name] or DEBIAN_PEERS[name]})" +
              ("; tools/setup bench installs it" if name in DEBIAN_PEERS else ""))
    return {name: allocators[name] for name in names if name not in missing}


class Runner:
    """Runs one case under one allocator; keeps what failed and what each case printed first."""

    def __init__(self, programs, allocators, scratch):
        self.programs, self.allocators, self.scratch = programs, allocators, pathlib.Path(scratch)
        self.failures, self.outputs = [], {}

    def executable(self, case):
        return str(self.programs / case.program) if case.kind in ("own", "idle") else shutil.which(case.program)

    def can_run(self, case):
        needed = ["redis-server", "redis-benchmark", "redis-cli"] if case.kind == "redis" else [self.executable(case)]
        return all(program and shutil.which(program) for program in needed)

    def measured(self, case, allocator, *arguments):
        return [str(self.programs / "measure"), str(self.scratch / "usage"), self.allocators[allocator],
                self.executable(case), *arguments]

    def run(self, case, allocator, arguments):
        """The figures of one run, or None."""
        (self.scratch / "usage").unlink(missing_ok=True)
        try:
            run = self.run_redis if case.kind == "redis" else self.run_program
            output, figures = run(case, allocator, arguments)
        except (OSError, subprocess.SubprocessError, ValueError) as problem:
            detail = (getattr(problem, "stderr", None) or b"")[-400:].decode(errors="replace").strip()
            self.failures.append(f"{case.name} under {allocator}: {problem} {detail}".replace("\n", " "))
            return None
        if self.outputs.setdefault(case.name, output) != output:
            self.failures.append(f"{case.name} under {allocator}: printed something else than under the first allocator")
            return None
        return figures

    def run_program(self, case, allocator, arguments):
        command = self.measured(case, allocator, *arguments.split())
        environment = {**os.environ, **dict(case.environment)}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True,
                              timeout=RUN_TIMEOUT_S)
        if b"cannot be preloaded" in done.stderr:
            raise ValueError(done.stderr.decode(errors="replace").strip())
        if case.kind == "idle":
            pairs = (word.split("=") for word in done.stdout.decode().split())
            return "", {**self.usage(), **{key: float(value) for key, value in pairs}}
        return hashlib.sha1(done.stdout).hexdigest(), self.usage()

    def run_redis(self, case, allocator, requests):
        port = str(free_port())
        command = self.measured(case, allocator, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.scratch))
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port, server)
            start = time.monotonic()
            subprocess.run(["redis-benchmark", "-p", port, "-n", requests, "-r", "100000", "-d", "200", "-P", "16", "-q",
                            "-t", "set,get,lpush,lpop,hset,zadd"], check=True, capture_output=True, timeout=RUN_TIMEOUT_S)
            wall = time.monotonic() - start
            subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], check=True, capture_output=True, timeout=10)
            server.wait(10)
        finally:
            server.kill()
            server.wait()
        return "", {**self.usage(), "wall_s": wall}  # its keys are random

    def usage(self):
        words = (self.scratch / "usage").read_text().split()
        if words[0] != "0":
            raise ValueError(f"exit status {words[0]}")
        wall, user, system, peak_kib, faults = map(float, words[1:])
        return {"wall_s": wall, "cpu_s": user + system, "user_s": user, "system_s": system, "peak_mib": peak_kib / 1024,
                "faults": faults}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, server):
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
            return
        if server.poll() is not None:
            raise ValueError(f"the server ended with status {server.returncode}")
        time.sleep(0.02)
    raise ValueError("the server does not answer")


@contextlib.contextmanager
def locked(path):
    if path is None:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_case(runner, case, options):
    """[row of one run, ...]"""
    arguments = case.quick if options.quick else case.arguments
    rounds = min(options.rounds, IDLE_ROUNDS) if case.kind == "idle" else options.rounds
    names = list(runner.allocators)
    rows = []
    for number in range(rounds):
        with locked(options.lock):
            for name in names[number % len(names):] + names[:number % len(names)]:
                progress(f"{case.name}: round {number + 1} of {rounds}, {name}")
                load = os.getloadavg()[0]
                if figures := runner.run(case, name, arguments):
                    rows.append({"case": case.name, "allocator": name, "round": number, "load": load, **figures})
    progress("")
    return rows


def read_csv(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{key: number_or_text(value) for key, value in row.items() if value != ""} for row in csv.DictReader(file)]


def values_by_allocator(rows, metric):
    values = {}
    for row in rows:
        if metric in row:
            values.setdefault(row["allocator"], []).append(row[metric])
    return values


def medians(rows, metric):
    return {name: statistics.median(values) for name, values in values_by_allocator(rows, metric).items()}


def is_idle(rows):
    return any(key in rows[0] for key in ("returned_pct", "idle_kib", "malloc_longest_us"))


def print_case(name, rows):
    metrics = [m for m in rows[0] if m.endswith(("_mib", "_kib", "_pct", "_ms", "_us"))] if is_idle(rows) else METRICS
    table = [[name, *metrics]]
    for allocator in dict.fromkeys(row["allocator"] for row in rows):
        table.append([allocator, *(cell(rows, metric, allocator) for metric in metrics)])
    print_table(table)


def cell(rows, metric, allocator):
    """The median, for JUDGED also (least..greatest) and its ratio to the least median."""
    values = values_by_allocator(rows, metric).get(allocator, [])
    if not values:
        return "-"
    median = statistics.median(values)
    if metric in JUDGED:
        return f"{short(median)} ({short(min(values))}..{short(max(values))}) x{median / min(medians(rows, metric).values()):.2f}"
    return f"{short(median)} ({short(min(values))}..{short(max(values))})" if metric.endswith("_pct") else short(median)


def geomean(numbers):
    return math.exp(statistics.fmean(map(math.log, numbers)))


def ratios(by_case, metric, numerator, denominator):
    """numerator's median / denominator's in each case that both have finished."""
    found = {}
    for name, rows in by_case.items():
        m = medians(rows, metric)
        if numerator in m and denominator in m:
            found[name] = m[numerator] / m[denominator]
    return found


def matrix(by_case, allocators, metric):
    """A table: case by allocator, medians relative to the case's least; the last row their geometric means."""
    table, columns = [[f"{metric} / least", *allocators, "least"]], {name: [] for name in allocators}
    for case, rows in by_case.items():
        m = medians(rows, metric)
        least = min(m.values())
        for name, value in m.items():
            columns[name].append(value / least)
        table.append([case, *(f"{m[name] / least:.2f}" if name in m else "-" for name in allocators), short(least)])
    means = [f"{geomean(c):.3f}" + ("" if len(c) == len(by_case) else f" ({len(c)})") if c else "-" for c in columns.values()]
    return [*table, ["geomean", *means, ""]]


def print_summary(by_case, allocators):
    for metric in JUDGED:
        print_table(matrix(by_case, allocators, metric))
    if "lull" in allocators:
        print_lull(by_case, [name for name in allocators if name != "lull"])


def print_lull(by_case, peers):
    """lull beside each peer, beside the best one, and beside each case's best one."""
    for metric in JUDGED:
        means = {peer: geomean(r.values()) for peer in peers if (r := ratios(by_case, metric, "lull", peer))}
        if not means:
            return
        hardest = max(means, key=means.get)
        print(f"\nlull's {metric} / peer's, geomean: " + ", ".join(f"{peer} {mean:.3f}" for peer, mean in means.items()))
        print(f"  best peer over all: {hardest}; lull / {hardest} = {means[hardest]:.3f}")
        worst = ", ".join(worst_cases(by_case, metric, peers)) or "none"
        print(f"  cases above {TOLERABLE:.2f} x their best peer: {worst}")


def worst_cases(by_case, metric, peers):
    found = []
    for case, rows in by_case.items():
        m = medians(rows, metric)
        others = {name: m[name] for name in peers if name in m}
        if "lull" in m and others:
            best = min(others, key=others.get)
            found.append((m["lull"] / others[best], f"{case} {m['lull'] / others[best]:.2f} ({best})"))
    return [text for ratio, text in sorted(found, reverse=True) if ratio > TOLERABLE]


def report(by_case, out):
    timed = {name: of_case for name, of_case in by_case.items() if not is_idle(of_case)}
    if timed:
        allocators = list(dict.fromkeys(row["allocator"] for of_case in timed.values() for row in of_case))
        print_summary(timed, allocators)
        panels = {title: {name: medians(r, metric) for name, r in timed.items()}
                  for title, metric in (("wall time", "wall_s"), ("peak memory", "peak_mib"))}
        write_plot(out / "malloc.svg", panels, allocators)
        print(f"\n{out / 'malloc.csv'}, {out / 'malloc.svg'}")


def run_suite(options, build_dir, load):
    with locked(options.lock):
        build(build_dir, options.out / "build.log", "lull_bench_malloc")
    allocators = find_allocators(build_dir, options.peers)
    print_machine(load, ", ".join(f"{name}={os.path.realpath(path)}" for name, path in allocators.items()))
    rows = {}
    for row in read_csv(options.out / "malloc.csv") if options.add else []:
        rows.setdefault(row["case"], []).append(row)
    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(build_dir / "bench/malloc", allocators, scratch)
        for case in CASES:
            if options.rounds == 0 or not re.search(options.only or "", case.name):
                continue
            if not runner.can_run(case):
                print(f"\nskipped    {case.name}: not installed; tools/setup bench installs it")
            elif rows_of_case := run_case(runner, case, options):
                rows[case.name] = rows_of_case
                print_case(case.name, rows_of_case)
                write_csv(options.out / "malloc.csv", [row for case in CASES for row in rows.get(case.name, [])])
    report({case.name: rows[case.name] for case in CASES if case.name in rows}, options.out)
    return runner.failures

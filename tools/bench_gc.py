"""The suite "gc" of tools/bench: programs on lull and, with the same logic, on its peers. docs/benchmarks.md says what each stresses.

A program is bench/gc/PROGRAM.cc, compiled once for each memory policy; bench/gc/peers has it in other languages. The
variants of a case run in turn, round after round, so that a change of the machine's mood hits all of them. Every run's line
goes to DIR/gc_PROGRAM.csv with the load average at its start. Ratios are to explicit free: malloc and free by hand on mimalloc.
"""

import collections
import dataclasses
import os
import re
import shutil
import statistics
import subprocess
import time

from bench_common import (ROOT, build, find_library, number_or_text, output_of, print_machine, print_table, progress, short,
                          write_csv)

RUN_TIMEOUT_S = 600  # longer: slow machines get through; shorter: a hang costs less
CASE_SECONDS = 240  # no new round of a case begins after this, so that the whole suite ends within the hour

EVERYWHERE = ("lull", "mimalloc", "shared_ptr+mimalloc", "bdwgc", "go", "java-g1", "java-zgc")
JAVA_OPTIONS = {"java-g1": "-XX:+UseG1GC", "java-zgc": "-XX:+UseZGC", "java-shenandoah": "-XX:+UseShenandoahGC"}
EXPLICIT_FREE = ("mimalloc", "malloc", "shared_ptr+mimalloc")  # the first of them that a case has is what ratios refer to
PAUSES = ("handshake_p50_us", "handshake_p99_us", "handshake_p999_us", "handshake_max_us", "handshake_cpu_max_us", "control_p999_us", "control_max_us", "assist_p999_us", "alloc_slow_p999_us",
          "cycles", "global_stops", "broken_patches", "machine_gap_max_us", "rss_mib")
COST = ("wall_s", "cpu_s", "rss_mib", "stop_max_us")


@dataclasses.dataclass(frozen=True)
class Case:
    program: str
    arguments: str
    quick: str  # the arguments of --quick
    variants: tuple
    metrics: tuple  # of the table; the smaller the better
    stresses: str = ""


def gc_cases():
    yield from tree_cases()
    yield from program_cases()
    yield from micro_cases()
    yield from latency_cases()
    yield from collector_cases()


def tree_cases():
    trees = ("lull", "malloc", "mimalloc", "shared_ptr", "shared_ptr+mimalloc", "bdwgc", "go", "java-g1", "java-zgc")
    for threads in (1, 2):
        yield Case("binary_trees", f"21 {threads}", f"12 {threads}", trees, COST, "allocation of what dies at once beside a live tree")


def program_cases():
    for program, arguments, quick, stresses in (
            ("gcbench", "19", "8", "trees built from the root down, where every new object is stored into, and from the leaves up"),
            ("splay", "40000 400000", "200 500", "stores into old objects; objects die in another order than they were made"),
            ("graph", "1000000 20", "1000 0", "a large cyclic heap whose edges move: the barrier and marking beside it"),
            ("lru", "300000 8", "1000 0", "objects die in the order of their last use: the worst case for generations"),
            ("messages", "3 4000", "3 1", "every object dies on another thread than the one that made it"),
            ("arrays", "20 10", "1 0", "large arrays of pointers: stores all over them, arrays of 800 KB made and dropped"),
            ("json", "300", f"1 {ROOT}", "documents of real text parsed and dropped: strings, small values, documents of all ages"),
            ("finalizers", "3000", "2", "objects with destructors made flat out, until all have run"),
            ("storm", "4 40", "4 0", "four threads that only allocate, all sizes up to 1 KiB")):
        yield Case(program, arguments, quick, EVERYWHERE, COST, stresses)
    yield Case("weak", "500 5", "1 0", ("lull", "shared_ptr+mimalloc", "bdwgc", "java-g1", "java-zgc"), COST, "a million weak references, replaced and locked")


def collector_cases():
    """lull's alone: no peer has the part that is measured."""
    yield Case("young", "cycle 1000 1", "cycle 10 1 2", ("lull",), ("cpu_ms_median", "cpu_ms_max", "rss_mib"),
               "a young cycle beside 1 GB of old objects with 1 % of the cards dirty")
    yield Case("young", "death 100 10", "death 1 10 0.02", ("lull",), ("gc_cpu_s_per_gib", "cycles", "young_cycles", "rss_mib"),
               "nine objects of ten die early")
    for threads in (1, 4):
        yield Case("limit", f"50 64 10 {threads}", f"5 32 0.02 {threads}", ("lull",), ("gc_share", "heap_over_goal_max", "heap_sys_mib", "rss_mib"),
                   "50 MiB live under a limit of 64 MiB")
    for arguments in ("50 10 4", "2 10 4", "50 10 4 4"):
        yield Case("overshoot", arguments, "1 0.05 4 1", ("lull",),
                   ("over_goal_max", "held", "hold_max_ms", "alloc_slow_p999_us", "gc_cpu_s", "rss_mib"),
                   "four threads that only allocate: how far the heap passes its goal, and who waits")
    for arguments, quick, metrics in (("cells 1000000 1", "cells 1000 1 2", ("young_cpu_ms", "full_cpu_ms", "handshake_max_us", "rss_mib")),
                                      ("threads 10000 64", "threads 20 4", ("thread_p50_us", "thread_p99_us", "thread_max_us", "handshake_p999_us", "handshake_max_us", "cycles", "rss_mib")),
                                      ("stack 8", "stack 1 2", ("handshake_p50_us", "handshake_max_us", "cycle_cpu_ms", "rss_mib"))):
        yield Case("roots", arguments, quick, ("lull",), metrics, "a million roots, ten thousand threads, a deep stack")
    yield Case("pause", "100 10 1", "1 0.05 1", ("lull",), PAUSES, "what one handshake operation takes of a busy thread")
    for arguments in ("100 10 2", "100 10 8", "100 10 64", "100 10 1 alone", "4000 30 1"):
        yield Case("pause", arguments, "1 0.05 1", ("lull",), PAUSES, "the same: more threads, no bystanders, a larger heap")


def micro_cases():
    for kind in ("linked", "plain"):
        for size in (16, 32, 64, 256):
            yield Case("small_objects", f"{size} {kind} 50", f"{size} {kind} 1",
                       ("lull", "malloc", "mimalloc", "bdwgc", "go"), ("ns", "cpu_s", "rss_mib", "stop_max_us"), "one object made and forgotten")
    for size in (32, 64):
        yield Case("small_objects", f"{size} linked 50 2", f"{size} linked 1 2", ("lull", "malloc", "mimalloc", "bdwgc", "go"), ("ns", "cpu_s", "rss_mib"),
                   "the same on two threads while main waits for them")
    for order, mib in (("sequential", 1), ("random", 1), ("random", 256)):
        yield Case("pointer_store", f"{order} {mib} idle 50", f"{order} 1 idle 1",
                   ("lull", "malloc", "shared_ptr", "bdwgc", "go"), ("ns", "own_cpu_ns"), "the store of a pointer, no cycle running")
        # malloc: the control, beside a thread that only spins. bdwgc is missing: it stops the stores while it marks.
        yield Case("pointer_store", f"{order} {mib} marking 50", f"{order} 1 marking 1",
                   ("lull", "malloc", "go"), ("ns", "own_cpu_ns", "cycles"), "the same while cycles run back to back")


def latency_cases():
    latency_metrics = ("latency_p50_us", "latency_p99_us", "latency_p999_us", "latency_max_us", "own_p99_us", "own_p999_us", "waited_ms", "gc_share",
                       "cpu_s", "rss_mib", "stop_max_us")
    for millions in (1, 10):  # malloc is the control: what the machine itself does to latency
        yield Case("cache_latency", f"{millions} 20 2", "0.01 0.05 1", ("lull", "malloc", "mimalloc", "bdwgc", "go", "java-g1", "java-zgc"), latency_metrics,
                   "requests in an open loop beside a cache under replacement")


def peer_versions():
    return (f"{os.confstr('CS_GNU_LIBC_VERSION')}; "
            f"mimalloc {output_of('dpkg-query', '-W', '-f', '${Version}', 'libmimalloc2.0') or 'absent'}; "
            f"bdwgc {output_of('pkg-config', '--modversion', 'bdw-gc') or 'absent'}; {output_of('go', 'version') or 'go absent'}; "
            f"java {output_of('dpkg-query', '-W', '-f', '${Version}', 'openjdk-17-jdk-headless') or 'absent'}")


def peer_builds(build_dir):
    return go_builds(build_dir) + java_builds(build_dir)


def java_builds(build_dir):
    if not shutil.which("javac"):
        return []
    return [["javac", "-d", str(build_dir / "bench/gc/java"), *map(str, sorted((ROOT / "bench/gc/peers/java").glob("*.java")))]]


def go_builds(build_dir):
    if not shutil.which("go"):
        return []
    peers = ROOT / "bench/gc/peers"
    frame = ["report", "program"]
    return [["go", "build", "-o", str(build_dir / f"bench/gc/{source.stem}_go"), str(source), *(str(peers / f"{name}.go") for name in frame)]
            for source in sorted(peers.glob("*.go")) if source.stem not in frame]


def java_class(program):
    return "".join(word.capitalize() for word in program.split("_")).replace("Gcbench", "GcBench")


class Runner:
    """Finds and runs one variant of a case; keeps what failed."""

    def __init__(self, programs):
        self.programs = programs
        self.mimalloc = find_library("libmimalloc.so.2")
        self.failures = []

    def executable(self, case, variant):
        if variant in JAVA_OPTIONS:
            return self.programs / "java" / f"{java_class(case.program)}.class"
        memory = "malloc" if variant == "mimalloc" else variant.removesuffix("+mimalloc")
        return self.programs / f"{case.program}_{memory}"

    def command(self, case, variant):
        if variant in JAVA_OPTIONS:
            return ["java", JAVA_OPTIONS[variant], "-cp", str(self.programs / "java"), java_class(case.program)]
        return [str(self.executable(case, variant))]

    def can_run(self, case, variant):
        return (self.executable(case, variant).exists() and ("mimalloc" not in variant or self.mimalloc is not None)
                and (variant not in JAVA_OPTIONS or shutil.which("java") is not None))

    def run(self, case, variant, arguments):
        environment = dict(os.environ)
        if "mimalloc" in variant:
            environment["LD_PRELOAD"] = self.mimalloc
        command = [*self.command(case, variant), *arguments.split()]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
            if done.returncode == 0:
                return parse(done.stdout)
            self.failures.append(f"{case.program} {arguments} {variant}: exit {done.returncode}: {done.stderr[-400:].strip()}")
        except subprocess.TimeoutExpired:
            self.failures.append(f"{case.program} {arguments} {variant}: not done after {RUN_TIMEOUT_S} s")
        return None


def parse(text):
    """'name variant key=value ...' as a dictionary of the values."""
    values = dict(word.split("=", 1) for word in text.split()[2:])
    return {key: number_or_text(value) for key, value in values.items()}


def run_case(runner, case, arguments, runs):
    """{variant: [values of one run, ...]}"""
    variants = [v for v in case.variants if runner.can_run(case, v)]
    results = {variant: [] for variant in variants}
    start = time.monotonic()
    for run in range(runs):
        if run > 0 and time.monotonic() - start > CASE_SECONDS:
            break
        for variant in variants:
            progress(f"{case.program} {arguments}: round {run + 1} of {runs}, {variant}")
            load = os.getloadavg()[0]
            values = runner.run(case, variant, arguments)
            if values is not None:
                results[variant].append({"arguments": arguments, "variant": variant, "run": run, "load": load, **values})
    progress("")
    return results


def values_of(rows, metric):
    return [row[metric] for row in rows if isinstance(row.get(metric), float)]


def cell(rows, metric, reference):
    """Median, spread, and the ratio to explicit free."""
    values = values_of(rows, metric)
    if not values:
        return "-"
    text = f"{short(statistics.median(values))} ({short(min(values))}..{short(max(values))})"
    return text if not reference else f"{text} x{statistics.median(values) / reference:.2f}"


def explicit_free(results):
    return next((variant for variant in EXPLICIT_FREE if results.get(variant)), None)


def print_case(case, arguments, results):
    title = f"{case.program} {arguments}"
    reference = explicit_free(results)
    if len(results) == 1:  # turned on its side
        table = [[title, *results]]
        table += [[m, *(cell(rows, m, None) for rows in results.values())] for m in case.metrics]
    else:
        medians = {m: statistics.median(v) for m in case.metrics if reference and (v := values_of(results[reference], m))}
        table = [[title, *case.metrics]]
        for variant, rows in results.items():
            table.append([variant, *(cell(rows, m, None if variant == reference else medians.get(m)) for m in case.metrics)])
    print_table(table)


def losses(case, arguments, results):
    """Where peers' medians are better than lull's: a (worst ratio, text) for each metric."""
    for metric in case.metrics:
        medians = {v: statistics.median(values) for v, rows in results.items() if (values := values_of(rows, metric))}
        ours = medians.pop("lull", 0)
        better = sorted((theirs / ours, variant) for variant, theirs in medians.items() if theirs < ours)
        if better and metric != "cycles":
            yield better[0][0], f"{case.program} {arguments}: {metric}: " + ", ".join(f"{v} x{r:.2f}" for r, v in better)


def print_list(cases):
    print_table([["case", "variants", "what it stresses"],
                 *([f"{c.program} {c.arguments}", " ".join(c.variants), c.stresses] for c in cases)])


def run_suite(options, build_dir, load):
    cases = list({(c.program, c.quick if options.quick else c.arguments): c for c in gc_cases()}.items())
    if options.only:
        cases = [(key, case) for key, case in cases if re.search(options.only, " ".join(key))]
    if options.list:
        print_list([case for _, case in cases])
        return []
    if not options.no_build:
        build(build_dir, options.out / "build.log", "lull_bench_gc", peer_builds(build_dir))
    print_machine(load, peer_versions())
    runner = Runner(build_dir / "bench/gc")
    rows, lost = collections.defaultdict(list), []
    for (_, arguments), case in cases:
        results = run_case(runner, case, arguments, options.rounds)
        if not results.get("lull"):
            runner.failures.append(f"{case.program} {arguments}: lull's variant was not built or did not run")
            continue
        print_case(case, arguments, results)
        lost += losses(case, arguments, results)
        rows[case.program] += [row for variant in results.values() for row in variant]
        write_csv(options.out / f"gc_{case.program}.csv", rows[case.program])
    if lost:
        print("\nwhere lull loses (peer / lull, worst first):", *(text for _, text in sorted(lost)), sep="\n  ")
    return runner.failures

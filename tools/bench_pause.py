"""The suite "pause" of tools/bench: what a collector leaves of a thread's time, in plots. docs/benchmarks.md says how to read them.

Runs bench/gc/ticks.cc (threads that spin and note every gap) on lull, on its peers, and with the collector off: the control, which shows
what the machine itself does; and bench/gc/cache_latency.cc. Out come DIR/pause/*.csv, *.svg (gnuplot) and a table.

  mmu.svg        minimum mutator utilisation: of the worst window of each length, the part that the thread had
  gaps.svg       how often gaps of each length came
  heap.svg       lull's heap over time
  pauses.svg     lull's own histograms: handshakes, assists, slow allocations
  latency.svg    latency of requests by percentile
"""

import bisect
import csv
import math
import shutil
import subprocess

import bench_gc
from bench_common import build, print_machine, print_table, progress, short

LIVE_MIB, SECONDS, QUICK_LIVE_MIB, QUICK_SECONDS = 100, 5, 1, 0.05
TICKS = (("lull", "on"), ("lull", "off"), ("mimalloc", "on"), ("bdwgc", "on"), ("go", "on"), ("go", "off"))
LATENCIES = ("lull", "mimalloc", "bdwgc", "go", "java-g1", "java-zgc")
WINDOWS_US = [10 ** (e / 8) for e in range(8, 49)]  # 10 us to 1 s
MAX_GAPS = 200_000  # of one run; more and the plot takes longer than the run
COLOURS = {"lull": "#d62728", "lull, off": "#f5a9a9", "mimalloc": "#1f77b4", "bdwgc": "#7f7f7f", "go": "#2ca02c", "go, off": "#a9dfa9",
           "java-g1": "#9467bd", "java-zgc": "#8c564b"}


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_gaps(path):
    """{thread: [(start, length), ...] in us, in order}"""
    threads = {}
    for row in read_rows(path)[:MAX_GAPS]:
        threads.setdefault(row["thread"], []).append((float(row["start_us"]), float(row["length_us"])))
    return threads


def least_utilisation(gaps, window, total):
    """Of one thread: 1 - the greatest part of any window (of `window` us, within `total`) that gaps fill. A worst window
    begins with a gap, or is the last: moving another one to the right, or to the left within the gap it begins in, loses nothing."""
    if window >= total:
        return 1 - sum(length for _, length in gaps) / total
    starts = [start for start, _ in gaps]
    before = [0.0]  # lost before gap i
    for _, length in gaps:
        before.append(before[-1] + length)

    def lost_until(time):
        i = bisect.bisect_right(starts, time)
        return before[i] if i == 0 else before[i - 1] + min(time - starts[i - 1], gaps[i - 1][1])

    worst = 0.0
    for start in starts:
        begin = min(start, total - window)
        worst = max(worst, lost_until(begin + window) - lost_until(begin))
    return max(0.0, 1 - worst / window)


def utilisation_curve(threads, total):
    """[(window, minimum over all threads)]"""
    return [(w, min((least_utilisation(gaps, w, total) for gaps in threads.values()), default=1.0)) for w in WINDOWS_US if w <= total]


def gap_counts(threads):
    """[(from, how many)] in four buckets for each doubling."""
    counts = {}
    for gaps in threads.values():
        for _, length in gaps:
            bucket = math.floor(4 * math.log2(length))
            counts[bucket] = counts.get(bucket, 0) + 1
    return [(2 ** (bucket / 4), counts[bucket]) for bucket in sorted(counts)]


def write_points(path, columns, points):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *points])


def plot(path, title, settings, curves):
    """curves: (file, using, with, title, colour)"""
    if not curves:
        return
    parts = [f"'{file}' using {using} with {style} lw 2 lc rgb '{colour}' title '{name}'" for file, using, style, name, colour in curves]
    script = [f"set terminal svg size 900,500 font 'sans-serif,13' background '#ffffff'", f"set output '{path}'", f"set title '{title}'",
              "set datafile separator ','", "set key autotitle columnhead", "set key outside right top", "set grid lc rgb '#dddddd'", *settings,
              "plot " + ", ".join(parts)]
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"gnuplot: {done.stderr.strip()}")


def name_of(variant, collector):
    return variant if collector == "on" else f"{variant}, {collector}"


class Suite:
    def __init__(self, options, build_dir):
        self.runner = bench_gc.Runner(build_dir / "bench/gc")
        self.out = options.out / "pause"
        self.quick = options.quick
        self.seconds = QUICK_SECONDS if options.quick else SECONDS
        self.live = QUICK_LIVE_MIB if options.quick else LIVE_MIB
        self.rows = []
        self.curves = {"mmu": [], "gaps": [], "latency": []}
        self.lull_folder = None

    def run_program(self, program, variant, arguments):
        progress(f"{program} {arguments}: {variant}")
        case = bench_gc.Case(program, arguments, arguments, (variant,), ())
        values = self.runner.run(case, variant, arguments) if self.runner.can_run(case, variant) else None
        progress("")
        return values

    def run_ticks(self, variant, collector):
        name = name_of(variant, collector)
        folder = self.out / name.replace(", ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        values = self.run_program("ticks", variant, f"{self.live} {self.seconds} 1 {collector} {folder}")
        if values is None:
            return
        threads, total = read_gaps(folder / "gaps.csv"), self.seconds * 1e6
        curve = utilisation_curve(threads, total)
        write_points(folder / "mmu.csv", ["window_us", "utilisation"], curve)
        write_points(folder / "gap_counts.csv", ["from_us", "count"], gap_counts(threads))
        self.curves["mmu"].append((folder / "mmu.csv", "1:2", "lines", name, COLOURS[name]))
        if threads:
            self.curves["gaps"].append((folder / "gap_counts.csv", "1:2", "linespoints pt 7 ps 0.4", name, COLOURS[name]))
        if name == "lull":
            self.lull_folder = folder
        self.add_row(name, values, curve)

    def add_row(self, name, values, curve):
        def at(window):
            return next((short(u) for w, u in curve if w >= window * 0.999), "-")

        self.rows.append([name, at(100), at(1000), at(10_000), at(100_000),
                          *(short(values[k]) if k in values else "-" for k in ("gaps", "gap_p99_us", "gap_max_us", "lost_percent", "cycles",
                                                                              "gc_cpu_percent", "rss_mib"))])

    def run_latency(self, variant):
        path = self.out / f"latency_{variant}.csv"
        millions, seconds = ("0.01", "0.05") if self.quick else ("1", "10")
        values = self.run_program("cache_latency", variant, f"{millions} {seconds} 2 {path}")
        if values is not None:
            self.curves["latency"].append((path, "1:2", "lines", variant, COLOURS[variant]))

    def plot_heap(self, heap):
        plot(self.out / "heap.svg", f"lull, {self.live} MiB live, heap over time",
             ["set xlabel 'seconds'", "set ylabel 'MiB'", "set yrange [0:*]"],
             [(heap, "1:3", "lines", "objects", "#d62728"), (heap, "1:4", "lines", "spans", "#1f77b4"), (heap, "1:5", "lines", "goal", "#7f7f7f"),
              (heap, "1:2", "lines", "resident", "#2ca02c")])

    def plot_lull(self):
        if self.lull_folder is None:
            return
        heap = self.lull_folder / "heap.csv"
        if read_rows(heap):  # a quick run on a busy machine may be over before the first sample
            self.plot_heap(heap)
        counted = read_rows(self.lull_folder / "histograms.csv")
        curves = []
        for name, colour in (("handshake", "#d62728"), ("handshake_cpu", "#f5a9a9"), ("assist", "#1f77b4"), ("alloc_slow", "#7f7f7f")):
            points = [(int(row["from_ns"]) / 1000, row["count"]) for row in counted if row["histogram"] == name and int(row["from_ns"]) > 0]
            if points:
                path = self.lull_folder / f"{name}.csv"
                write_points(path, ["from_us", "count"], points)
                curves.append((path, "1:2", "linespoints pt 7 ps 0.4", name.replace("_", " "), colour))
        plot(self.out / "pauses.svg", "lull: what held up its threads", ["set logscale xy", "set xlabel 'us'", "set ylabel 'how often'"], curves)

    def plot_all(self):
        if shutil.which("gnuplot") is None:
            print("no plots: gnuplot is not installed; tools/setup bench installs it")
            return
        title = f"{self.live} MiB live, 51 MB/s allocated, one thread"
        plot(self.out / "mmu.svg", f"Minimum mutator utilisation, {title}",
             ["set logscale x", "set xlabel 'window (us)'", "set yrange [0:1.02]", "set ylabel 'utilisation'"], self.curves["mmu"])
        plot(self.out / "gaps.svg", f"Gaps of more than 20 us, {title}",
             ["set logscale xy", "set xlabel 'length of the gap (us)'", "set ylabel 'how many'"], self.curves["gaps"])
        plot(self.out / "latency.svg", "Latency of requests beside a cache under replacement, two full collections",
             ["set logscale xy", "set xlabel 'one request in'", "set ylabel 'takes longer than (us)'"], self.curves["latency"])
        self.plot_lull()


def run_suite(options, build_dir, load):
    if not options.no_build:
        build(build_dir, options.out / "build.log", "lull_bench_gc", bench_gc.peer_builds(build_dir))
    print_machine(load, bench_gc.peer_versions())
    suite = Suite(options, build_dir)
    for variant, collector in TICKS:
        suite.run_ticks(variant, collector)
    for variant in LATENCIES:
        suite.run_latency(variant)
    if suite.rows:
        print_table([["ticks", "mmu 0.1 ms", "1 ms", "10 ms", "100 ms", "gaps", "gap p99 us", "max us", "lost %", "cycles", "gc cpu %", "rss MiB"],
                     *suite.rows])
    suite.plot_all()
    print(f"\n{suite.out}: " + ", ".join(sorted(path.name for path in suite.out.glob("*.svg"))))
    if suite.lull_folder is None:
        suite.runner.failures.append("ticks: lull's variant was not built or did not run")
    return suite.runner.failures

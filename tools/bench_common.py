"""What the suites of tools/bench share: the machine's description, building, progress, figures, CSV."""

import csv
import datetime
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUSY_LOAD = 0.5  # processors that something else uses before this tool starts


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def find_library(name):
    """The path of a shared library that the loader knows, or None."""
    for line in output_of("/sbin/ldconfig", "-p").splitlines():
        if f"{name} " in line:
            return line.split("=>")[1].strip()
    return None


def print_machine(load, peers):
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown processor")
    memory_kib = int(next(l.split()[1] for l in open("/proc/meminfo") if l.startswith("MemTotal")))
    commit = output_of("git", "describe", "--always", "--dirty", "--exclude", "*")
    compiler = (output_of("c++", "--version").splitlines() or ["no compiler"])[0]
    print(f"machine    {os.cpu_count()} x {cpu}, {memory_kib / 2**20:.1f} GiB, {os.uname().sysname} {os.uname().release}")
    print(f"lull       {commit}; {compiler}; -O2")
    print(f"peers      {peers}")
    print(f"date       {datetime.datetime.now():%Y-%m-%d %H:%M}; load average {load:.2f} before building", flush=True)
    if load > BUSY_LOAD:
        print("WARNING    the machine is busy with something else: trust processor times at most, no wall times, no latencies")


def build(build_dir, log_path, target, more_commands=()):
    commands = [[str(ROOT / "tools/setup")],
                ["cmake", "--preset", "release", "-B", str(build_dir)],
                ["cmake", "--build", str(build_dir), "--target", target], *more_commands]
    with open(log_path, "w") as log:
        for command in commands:
            if subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode != 0:
                sys.exit(f"{log_path.read_text()}\ntools/bench: building failed (log: {log_path})")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def short(number):
    return f"{number:.0f}" if number >= 1000 else f"{number:.3g}"


def print_table(table):
    """Rows of texts, all of one length; blanks pad the columns."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    print()
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip(), flush=True)


def write_csv(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def number_or_text(text):
    try:
        return float(text)
    except ValueError:
        return text

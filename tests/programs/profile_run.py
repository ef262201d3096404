#!/usr/bin/env python3
"""Profiles that the environment asks for: profile_run.py LIBRARY PROGRAM runs PROGRAM (profiled.cc) with LIBRARY preloaded
and reads what it wrote with `go tool pprof`, and with jeprof where that is installed. Exit 77: there is no go."""

import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

LIBRARY, PROGRAM = map(os.path.abspath, sys.argv[1:3])
TOLERANCE = 0.05  # of totals; with 8 KiB between samples their standard deviation is below 1 %


def run(folder, *arguments, **environment):
    """Runs the program; returns what it says it allocated, what of it is left, and what the lesser site has."""
    environment = {**os.environ, "LD_PRELOAD": LIBRARY, "LULL_PROFILE_RATE": "8192", **environment}
    done = subprocess.run([PROGRAM, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done
    return [int(n) for n in done.stdout.split()]


def top(profile, index):
    """[(bytes, function)] of `go tool pprof -top`."""
    text = subprocess.run(["go", "tool", "pprof", "-top", "-unit=B", f"-sample_index={index}", PROGRAM, str(profile)],
                          capture_output=True, text=True, timeout=120)
    assert text.returncode == 0, text
    rows = re.findall(r"^\s*([\d.]+)B?\s+[\d.]+%\s+[\d.]+%\s+[\d.]+B?\s+[\d.]+%\s+(.+?)$", text.stdout, re.M)
    assert rows, text.stdout
    return [(float(n), name) for n, name in rows]


def expect_near(truth, found, what):
    print(f"{what}: {found:.0f} of {truth}, off by {abs(found / truth - 1):.1%}")
    assert abs(found / truth - 1) <= TOLERANCE, what


def expect_right(profile, truth):
    allocated, live, lesser = truth
    for index, planted in (("alloc_space", allocated), ("inuse_space", live)):
        rows = top(profile, index)
        assert rows[0][1] == "planted_site", rows
        expect_near(planted, rows[0][0], f"{profile.name} {index} planted_site")
    both = sum(n for n, name in rows if name in ("planted_site", "lesser_site"))
    expect_near(live + lesser, both, f"{profile.name} inuse_space of both sites")


def main():
    if shutil.which("go") is None:
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expect_right(folder / "run.pb.gz", run(folder, LULL_PROFILE="run.pb.gz"))
        gzip.open(folder / "run.pb.gz").read()  # checks the checksum
        expect_right(folder / "run.heap", run(folder, LULL_PROFILE="run.heap"))
        if shutil.which("jeprof"):
            text = subprocess.run(["jeprof", "--text", PROGRAM, str(folder / "run.heap")], capture_output=True, text=True)
            assert "planted_site" in text.stdout.splitlines()[1], text

        truth = run(folder, "signal", LULL_PROFILE="%p.pb.gz", LULL_PROFILE_SIGNAL="12")
        by_signal, at_exit = sorted(folder.glob("*.pb.gz.1")), sorted(set(folder.glob("[0-9]*.pb.gz")))
        assert len(by_signal) == 1 and len(at_exit) == 1, list(folder.iterdir())
        expect_right(by_signal[0], truth)
        expect_right(at_exit[0], truth)

        truth = run(folder, "fork", LULL_PROFILE="forked.pb.gz")
        of_child = sorted(folder.glob("forked.pb.gz.*"))
        assert len(of_child) == 1, list(folder.iterdir())
        expect_right(of_child[0], truth)
        expect_right(folder / "forked.pb.gz", truth)

        done = subprocess.run([PROGRAM], env={**os.environ, "LD_PRELOAD": LIBRARY, "LULL_PROFILE": "/no/such/folder/x"},
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "lull: cannot write the profile /no/such/folder/x\n", done
    return 0


if __name__ == "__main__":
    sys.exit(main())

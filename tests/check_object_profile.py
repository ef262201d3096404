#!/usr/bin/env python3
"""Profiles of managed objects that the environment asks for: check_object_profile.py PROGRAM runs PROGRAM (gc/object_profiled.cc) and
reads what it wrote with `go tool pprof`. Exit 77: there is no go."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
TOLERANCE = 0.05  # of totals; with 8 KiB between samples of 96 MB their standard deviation is about 1 %


def run(folder, name):
    environment = {**os.environ, "LULL_OBJECT_PROFILE": name, "LULL_OBJECT_PROFILE_RATE": "8192"}
    done = subprocess.run([PROGRAM], env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done
    return [int(n) for n in done.stdout.split()]


def pprof(*arguments):
    done = subprocess.run(["go", "tool", "pprof", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def top(profile, index, *more):
    """[(bytes, function)] of `go tool pprof -top`."""
    text = pprof("-top", "-unit=B", f"-sample_index={index}", *more, PROGRAM, str(profile))
    rows = re.findall(r"^\s*([\d.]+)B?\s+[\d.]+%\s+[\d.]+%\s+[\d.]+B?\s+[\d.]+%\s+(.+?)$", text, re.M)
    assert rows, text
    return [(float(n), name) for n, name in rows]


def expect_near(truth, found, what, tolerance=TOLERANCE):
    print(f"{what}: {found:.0f} of {truth}, off by {abs(found / truth - 1):.1%}")
    assert abs(found / truth - 1) <= tolerance, what


def allocations(folder):
    allocated, live, lesser = run(folder, "objects.pb.gz")
    profile = folder / "objects.pb.gz"
    rows = top(profile, "alloc_space")
    assert "planted_site" in rows[0][1] and "lesser_site" in rows[1][1], rows
    expect_near(allocated, rows[0][0], "alloc_space of planted_site")
    expect_near(lesser, rows[1][0], "alloc_space of lesser_site", 0.15)
    rows = top(profile, "inuse_space")
    assert "planted_site" in rows[0][1], rows
    expect_near(live, rows[0][0], "inuse_space of planted_site")
    assert sum(n for n, name in rows if "lesser_site" in name) < 0.02 * live, rows
    by_type = top(profile, "alloc_space", "-tagfocus=type=.*Lesser")
    assert "lesser_site" in by_type[0][1] and not any("planted_site" in name for _, name in by_type), by_type


def lifetimes(folder):
    allocated, live, lesser = run(folder, "%p.lifetimes")
    profile = next(folder.glob("*.lifetimes"))
    rows = top(profile, "space")
    assert "planted_site" in rows[0][1], rows
    expect_near(allocated - live, rows[0][0], "space of the dead of planted_site")
    tags = pprof("-tags", "-sample_index=space", PROGRAM, str(profile))
    assert re.search(r"lifetime:", tags) and re.search(r"cycles:", tags) and "<= " in tags, tags
    young = top(profile, "space", "-tagfocus=cycles=^0$")
    expect_near(lesser, sum(n for n, name in young if "lesser_site" in name), "bytes of lesser_site that died young", 0.15)


def texts(folder):
    run(folder, "x.folded")
    lines = (folder / "x.folded").read_text().splitlines()
    assert any("main;" in line and "planted_site" in line and "Planted] " in line for line in lines), lines
    run(folder, "x.txt")
    table = (folder / "x.txt").read_text()
    assert "lesser_site" in table and "planted_site" not in table, table


def main():
    if shutil.which("go") is None:
        return 77
    with tempfile.TemporaryDirectory() as name:
        for check in (allocations, lifetimes, texts):
            check(pathlib.Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())

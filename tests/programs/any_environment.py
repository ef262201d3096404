#!/usr/bin/env python3
"""No text in the environment keeps a program from running: any_environment.py LIBRARY PROGRAM runs PROGRAM with LIBRARY preloaded under
texts that make no sense, each by itself and then some at random together, and expects what it says without them. It may complain."""

import os
import pathlib
import random
import subprocess
import sys
import tempfile

LIBRARY, PROGRAM = map(os.path.abspath, sys.argv[1:3])
NUMBERS = ["", "-1", "0", "1", "18446744073709551615", "99999999999999999999999", "1e3", "0x10", " 7", "7 ", "x", "\x1b[2J"]
TEXTS = {
    "LULL_PROFILE": ["%", "%p%p%", "a" * 5000, "no/such/folder/file.heap", "/dev/full", "/", ".heap", "%n%s", "no/\x1b[2J"],
    "LULL_PROFILE_RATE": NUMBERS,
    "LULL_PROFILE_SIGNAL": [*NUMBERS, "9", "19", "64", "65", "-9", "4294967305"],
    "LULL_MALLOC": ["=", ",,", "secure=2", "guard=-1", "guard=99999999999", "arena=x", "secure,guard=1,nonsense", "%n" * 1000, "secure," * 500],
    "LULL_MEMORY_LIMIT": [*NUMBERS, "16777215T", "1KiBB"],
}


def run(folder, environment):
    done = subprocess.run([PROGRAM, "few"], env={"LD_PRELOAD": LIBRARY, **environment}, cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == 0, (environment, done)
    assert not any(byte < 32 and byte != 10 for byte in done.stderr), (environment, done.stderr)  # harmless to a terminal
    return done.stdout


def main():
    seed = int(os.environ.get("LULL_TEST_SEED", "1"))
    choose = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expected = run(folder, {})
        cases = [{variable: text} for variable, texts in TEXTS.items() for text in texts]
        cases += [{variable: choose.choice(texts) for variable, texts in TEXTS.items()} for _ in range(20)]
        # What is read only beside a profile, beside one.
        cases += [{"LULL_PROFILE": "written", variable: text} for variable in ("LULL_PROFILE_RATE", "LULL_PROFILE_SIGNAL") for text in TEXTS[variable]]
        for environment in cases:
            assert run(folder, environment) == expected, environment
        # "64K" was taken for nonsense, silently.
        for rate, complaint in (("64K", b""), ("64Q", b"lull: LULL_PROFILE_RATE is no number of bytes: 64Q\n")):
            done = subprocess.run([PROGRAM, "few"], env={"LD_PRELOAD": LIBRARY, "LULL_PROFILE": "written", "LULL_PROFILE_RATE": rate}, cwd=folder,
                                  capture_output=True, timeout=120)
            assert done.returncode == 0 and done.stderr == complaint, done
        for variable, text in (("LULL_MEMORY_LIMIT", "1X"), ("LULL_PROFILE_SIGNAL", "USR1"), ("LULL_PROFILE_SIGNAL", "9"), ("LULL_PROFILE_SIGNAL", "11"),
                               ("LULL_PROFILE_SIGNAL", "4294967305"), ("LULL_MALLOC", "secur" + 40 * "e")):
            done = subprocess.run([PROGRAM, "few"], env={"LD_PRELOAD": LIBRARY, "LULL_PROFILE": "written", variable: text}, cwd=folder, capture_output=True, timeout=120)
            shown = text if len(text) <= 40 else text[:40] + "..."
            assert done.returncode == 0 and done.stderr.decode() == f"lull: {variable}: cannot make sense of '{shown}'\n", (variable, text, done)
        for variable, text in (("LULL_MEMORY_LIMIT", "0"), ("LULL_MEMORY_LIMIT", ""), ("LULL_MEMORY_LIMIT", "1T"), ("LULL_PROFILE_SIGNAL", "0"), ("LULL_PROFILE_SIGNAL", "12")):
            done = subprocess.run([PROGRAM, "few"], env={"LD_PRELOAD": LIBRARY, "LULL_PROFILE": "written", variable: text}, cwd=folder, capture_output=True, timeout=120)
            assert done.returncode == 0 and done.stderr == b"", (variable, text, done)
    return 0


sys.exit(main())

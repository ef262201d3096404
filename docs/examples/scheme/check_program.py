#!/usr/bin/env python3
"""Runs a program and compares what it prints.

    check_program.py SCHEME PROGRAM.scm            with programs/expected/NAME.txt, which Guile 3.0 has printed
    check_program.py SCHEME PROGRAM.scm --stress   a smaller size of it, with a cycle every 1000 allocations and the verifier, with the same
                                                   without them
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# Sizes in the program, and those for stress.
SMALLER = {
    "gcbench": [("(gcbench 18)", "(gcbench 8)"), ("500000", "5000"), ("250000", "2500")],
    "nqueens": [("'(8 9 10 11)", "'(6 7 8)")],
    "deriv": [("1500000", "4000")],
    "destruct": [("60000", "500")],
    "primes": [("20000", "1000")],
    "pi": [("(digits 1000)", "(digits 100)")],
    "ctak": [("(= i 8)", "(= i 1)")],
    "mperm": [("(mperm 9 10 40)", "(mperm 6 5 20)")],
    "earley": [("(earley 16 40)", "(earley 9 5)"), ("(trees 0 12)", "(trees 0 7)")],
    "nboyer": [("(prove 4)", "(prove 0)")],
    "sboyer": [("(prove 4)", "(prove 0)")],
}


def output_of(scheme, program, debug=None):
    environment = {name: value for name, value in os.environ.items() if name != "LULL_DEBUG"}
    if debug:
        environment["LULL_DEBUG"] = debug
    run = subprocess.run([scheme, program], capture_output=True, text=True, env=environment)
    return run.stdout + (f"exit status {run.returncode}\n{run.stderr}" if run.returncode else "")


def main():
    scheme, program = sys.argv[1], pathlib.Path(sys.argv[2])
    if "--stress" in sys.argv:
        text = program.read_text()
        for size, smaller in SMALLER[program.stem]:
            assert text.count(size) == 1, f"{program.name}: where is {size}?"
            text = text.replace(size, smaller)
        with tempfile.NamedTemporaryFile("w", suffix=".scm") as file:
            file.write(text)
            file.flush()
            expected = output_of(scheme, file.name)
            found = output_of(scheme, file.name, "stress=1000,verify,scribble")
    else:
        expected = (program.parent / "expected" / f"{program.stem}.txt").read_text()
        found = output_of(scheme, program)
    if found == expected and expected:
        return 0
    print(f"{program.name} prints\n{found[:2000]}\ninstead of\n{expected[:2000]}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Every case in docs/design/misuse.md and docs/design/security.md says what happens in both modes and names tests that exist.

    check_misuse.py ROOT         reads the pages' tables and the test sources below ROOT; prints what is wrong
    check_misuse.py --self-test  plants faulty rows and expects each to be found
"""

import pathlib
import re
import sys

FEWEST = 40
PAGES = {"misuse.md": FEWEST, "security.md": 20}  # and how many cases at least
TEST = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)


def tests_in(text):
    """Suite.Name of every test in a source; aliases of suites (using A = B) count by the name in the macro."""
    return {f"{suite}.{name}" for suite, name in TEST.findall(text)}


def known_tests(root):
    tests = set()
    for folder in ("tests", "apps"):
        for source in sorted((root / folder).rglob("*.cc")):
            tests |= tests_in(source.read_text())
    return tests | {f"fuzz.{source.stem}" for source in (root / "tests/fuzz").glob("*.cc") if source.stem != "replay"}


def complaints(page, tests, fewest=FEWEST):
    rows = [line for line in page.splitlines() if re.match(r"\|\s*\d+\s*\|", line)]
    if len(rows) < fewest:
        yield f"{len(rows)} cases, {fewest} are wanted"
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if len(cells) != 5 or not all(cells):
            yield f"case {number}: not five filled cells: {row}"
            continue
        if cells[0] != str(number):
            yield f"case {cells[0]} is the {number}th"
        for name in cells[4].split():
            if name not in tests:
                yield f"case {number}: there is no test {name}"


def self_test():
    tests = tests_in("TEST(A, B) {\n  TEST_F(C,\n  D) {\nTEST_P(E, F)")
    assert tests == {"A.B", "C.D", "E.F"}, tests
    good = "".join(f"| {n} | case | stops | – | A.B C.D |\n" for n in range(1, FEWEST + 1))
    assert not list(complaints(good, tests))
    assert list(complaints(good.replace("A.B", "A.X", 1), tests)) == ["case 1: there is no test A.X"]
    assert list(complaints(good.replace("| stops |", "| |", 1), tests))
    assert list(complaints(good.replace("| 3 |", "| 4 |", 1), tests))
    assert list(complaints("\n".join(good.splitlines()[1:]), tests))


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    root = pathlib.Path(sys.argv[1])
    tests = known_tests(root)
    found = [f"{page}: {complaint}" for page, fewest in PAGES.items()
             for complaint in complaints((root / "docs/design" / page).read_text(), tests, fewest)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

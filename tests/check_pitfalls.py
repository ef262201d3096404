#!/usr/bin/env python3
"""Every row of docs/design/pitfalls.md is filled and names tests, stress modes or model suites that exist, or says why there are none.

    check_pitfalls.py ROOT         prints what is wrong
    check_pitfalls.py --self-test  plants faulty rows and expects each to be found
"""

import pathlib
import re
import sys

from check_misuse import tests_in

ROWS = 40
NO_TEST = ('no support', 'no such')  # what a last cell begins with that gives a reason instead
NAME = re.compile(r'^(stress\.\w+|model\.\w+|\w+\.\w+)$')


def known_names(root):
    names = set()
    for source in sorted((root / 'tests').rglob('*.cc')):
        names |= tests_in(source.read_text())
    modes = (root / 'tests/stress/modes.h').read_text()
    names |= {f'stress.{mode}' for mode in re.findall(r'\{\.name = "(\w+)"', modes)}
    models = (root / 'tests/model/CMakeLists.txt').read_text()
    return names | {f'model.{suite}' for suite in re.findall(r'model_suite\(\w+ (\w+) ', models)}


def complaints(page, names):
    rows = [line for line in page.splitlines() if re.match(r'\|\s*\d+\s*\|', line)]
    if len(rows) != ROWS:
        yield f'{len(rows)} rows, {ROWS} are wanted'
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row.strip().strip('|').split('|')]
        if len(cells) != 4 or not all(cells):
            yield f'row {number}: not four filled cells'
            continue
        if cells[0] != str(number):
            yield f'row {cells[0]} is the {number}th'
        if cells[3].startswith(NO_TEST):
            continue
        for name in cells[3].split():
            if not NAME.match(name) or name not in names:
                yield f'row {number}: there is no test {name}'


def self_test():
    names = {'A.B', 'stress.calm'}
    good = ''.join(f'| {n} | pitfall | countermeasure | A.B stress.calm |\n' for n in range(1, ROWS + 1))
    assert not list(complaints(good, names))
    assert list(complaints(good.replace('A.B', 'A.X', 1), names)) == ['row 1: there is no test A.X']
    assert list(complaints(good.replace('stress.calm', 'because', 1), names)) == ['row 1: there is no test because']
    assert not list(complaints(good.replace('A.B stress.calm', 'no support, see there', 1), names))
    assert list(complaints(good.replace('| countermeasure |', '| |', 1), names))
    assert list(complaints(good.replace('| 7 |', '| 8 |', 1), names))
    assert list(complaints('\n'.join(good.splitlines()[1:]), names))


def main():
    if sys.argv[1:] == ['--self-test']:
        self_test()
        return 0
    root = pathlib.Path(sys.argv[1])
    found = list(complaints((root / 'docs/design/pitfalls.md').read_text(), known_names(root)))
    print('\n'.join(found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())

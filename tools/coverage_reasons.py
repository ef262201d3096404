"""Whether every range of lines that no test runs has its reason in docs/design/coverage.md, a line of its own like

    alloc/os/copy.cc: `if (child < 0) return -1;` (2)

where the text between the backticks is a line of the range, so that shifted lines do not matter, and the number is that of lines of code
in the range, at most (left out: 1). Of ranges with the same line in the same file one entry is enough.

    coverage_reasons.py --self-test
"""
import collections
import pathlib
import re
import sys
import tempfile

PAGE = 'docs/design/coverage.md'
ENTRY = re.compile(r'^\s*((?:alloc|gc)/\S+): `(.+)`(?: \((\d+)\))?\s*$')

Range = collections.namedtuple('Range', 'file first lines')  # lines: their texts
Entry = collections.namedtuple('Entry', 'file text most')


def ranges_of(file, source):
    """Lines of code that never ran; those without code in between do not end a range, those that ran do."""
    found, lines = [], []
    for line in file['lines']:
        if line.get('gcovr/noncode') or line['line_number'] > len(source):
            continue
        if line['count'] == 0:
            lines.append(line['line_number'])
        elif lines:
            found.append(lines)
            lines = []
    if lines:
        found.append(lines)
    return [Range(file['file'], numbers[0], [source[n - 1].strip() for n in numbers]) for numbers in found]


def entries_of(page):
    found = (ENTRY.match(line) for line in page.splitlines())
    return [Entry(m[1], m[2].strip(), int(m[3] or 1)) for m in found if m]


def explains(entry, range_):
    return entry.file == range_.file and entry.text in range_.lines and len(range_.lines) <= entry.most


def quote(range_):
    """As an entry: the line of the range that tells most."""
    text = max(range_.lines, key=lambda line: (line not in ('}', 'return false;', 'return nullptr;'), len(line)))
    more = f' ({len(range_.lines)})' if len(range_.lines) > 1 else ''
    return f'{range_.file}: `{text}`{more}'


def check(root, files, out=sys.stdout):
    entries = entries_of((root / PAGE).read_text())
    ranges = [r for file in sorted(files, key=lambda f: f['file']) for r in ranges_of(file, (root / file['file']).read_text().splitlines())]
    unexplained = [r for r in ranges if not any(explains(e, r) for e in entries)]
    for r in unexplained:
        print(f'no reason, line {r.first}: {quote(r)}', file=out)
    for e in entries:
        if not any(explains(e, r) for r in ranges):
            print(f'a reason for what ran, or is gone: {e.file}: `{e.text}`', file=out)  # says nothing of the code: no failure
    print(f'{len(ranges)} ranges never ran, {len(unexplained)} without a reason', file=out)
    return not unexplained


def self_test():
    source = ['int f(int n) {', '  if (n < 0) {', '    log();', '    // why', '    return -1;', '  }', '  return n;', '}']

    def counted(never_ran, code=(1, 2, 3, 5, 7)):
        return [{'file': 'alloc/f.cc', 'lines': [{'line_number': n, 'count': 0 if n in never_ran else 1} for n in code]}]

    def passes(page, files, text=source):
        with tempfile.TemporaryDirectory() as folder, open('/dev/null', 'w') as nowhere:
            root = pathlib.Path(folder)
            for name, content in ((PAGE, page), ('alloc/f.cc', '\n'.join(text))):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
            return check(root, files, nowhere)

    both = 'text\n\n    alloc/f.cc: `log();` (2)\n'
    cases = [
        ('nothing is missed', True, passes('', counted(()))),
        ('no reason', False, passes('', counted((3, 5)))),
        ('a reason, a comment within the range', True, passes(both, counted((3, 5)))),
        ('quotes another line of the range', True, passes(both.replace('log();', 'return -1;'), counted((3, 5)))),
        ('of another file', False, passes(both.replace('f.cc', 'g.cc'), counted((3, 5)))),
        ('of a line that is not in the range', False, passes(both, counted((7,)))),
        ('the range has grown', False, passes(both.replace(' (2)', ''), counted((3, 5)))),
        ('two ranges, one reason', False, passes(both, counted((3, 7)))),
        ('lines have moved', True, passes(both, counted((4, 6), (1, 2, 3, 4, 6, 8)), ['// new'] + source)),
    ]
    wrong = [name for name, wanted, got in cases if wanted != got]
    print('\n'.join(f'wrong: {name}' for name in wrong) or f'{len(cases)} cases')
    return not wrong


if __name__ == '__main__':
    sys.exit(0 if sys.argv[1:] == ['--self-test'] and self_test() else 1)

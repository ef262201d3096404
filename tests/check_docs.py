#!/usr/bin/env python3
"""Documentation names only files that exist.

    check_docs.py ROOT         reads README.md, CONTRIBUTING.md, CHANGELOG.md, docs/ and the READMEs of tests/ below ROOT
    check_docs.py --self-test  plants dead references in a scratch tree and expects each to be found

A reference is a Markdown link, or words in backticks that look like a path of the repository: one that starts with a folder of
ROOT, or the name of a file with a known extension, looked up from ROOT and from the page's own folder. Also: the example
in README.md is docs/examples/hello.cc.
"""

import pathlib
import re
import sys
import tempfile

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "tests/**/README.md"]
SUFFIXES = {".h", ".cc", ".md", ".py", ".txt", ".sh", ".cmake", ".go"}
GENERATED = {"build"}  # top folders that need not exist
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^[\w.*<>{},+-]+(/[\w.*<>{},+-]*)*$")


def without_fences(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def links(text):
    for target in LINK.findall(text):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            yield target.split("#")[0]


def paths_in_code(text, root):
    """Words in backticks that look like a path of the repository."""
    for span in CODE.findall(text):
        words = span.split()
        for word in words:
            word = word.rstrip(",:;")
            if not PATH.match(word) or any(c in word for c in "*<>{}"):
                continue
            top = word.split("/")[0]
            in_tree = "/" in word and ((root / top).is_dir() or top == ".ci") and top not in GENERATED
            if in_tree or (len(words) == 1 and "/" not in word and pathlib.PurePath(word).suffix in SUFFIXES):
                yield word


def exists(root, page, word):
    if any((base / word).exists() for base in (root, page.parent, root / "include")):
        return True
    # A file's bare name in a page may belong to a folder that the page named before.
    return "/" not in word and any(p.name == word for folder in root.iterdir() if folder.is_dir() and folder.name not in GENERATED
                                   and not folder.name.startswith(".") for p in folder.rglob(word))


def complaints(root):
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            text = page.read_text()
            name = page.relative_to(root)
            for target in links(without_fences(text)):
                if not (page.parent / target).exists():
                    yield f"{name}: dead link: {target}"
            for word in sorted(set(paths_in_code(without_fences(text), root))):
                if not exists(root, page, word):
                    yield f"{name}: no such file: {word}"
    readme, example = root / "README.md", root / "docs/examples/hello.cc"
    if readme.exists() and example.exists() and f"```cpp\n{example.read_text()}```\n" not in readme.read_text():
        yield "README.md: its example is not docs/examples/hello.cc"


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "docs/examples").mkdir(parents=True)
        (root / "gc").mkdir()
        (root / "gc/there.h").touch()
        (root / "docs/examples/hello.cc").write_text("int main() {}\n")
        (root / "README.md").write_text("[a](docs/gone.md) [b](https://x.y/z) `gc/there.h` `gc/gone.h` `gone.cc` `there.h` `a/b`\n"
                                        "```cpp\nint other() {}\n```\n")
        found = list(complaints(root))
        expected = ["README.md: dead link: docs/gone.md", "README.md: no such file: gc/gone.h", "README.md: no such file: gone.cc",
                    "README.md: its example is not docs/examples/hello.cc"]
        if found != expected:
            print("expected", *expected, "found", *found, sep="\n  ")
            return 1
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    found = list(complaints(pathlib.Path(sys.argv[1])))
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

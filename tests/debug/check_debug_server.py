#!/usr/bin/env python3
"""Real tools ask a program's debug server.

    check_debug_server.py PROGRAM ROOT    PROGRAM --serve (tests/debug/debug_server_test.cc) allocates and serves meanwhile

go tool pprof reads heap and allocs and finds the types; Python's parser reads the JSON; promtool the metrics; tools/lull-top finds the
program by its process number, prints once, and draws and leaves under a pseudo-terminal. What is not installed is said and passed over.
"""

import json
import os
import pathlib
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


def fetch(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return answer.read()


def check_pprof(base):
    if shutil.which("go") is None:
        print("go is not installed: profiles not read by pprof")
        return
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "HOME": scratch, "PPROF_TMPDIR": scratch, "GOFLAGS": "-mod=mod"}
        for name, unit in (("heap", "inuse_space"), ("allocs", "alloc_space")):
            done = subprocess.run(["go", "tool", "pprof", "-top", f"{base}/debug/pprof/{name}"], env=env, cwd=scratch, capture_output=True, text=True, timeout=60)
            check(done.returncode == 0 and f"Type: {unit}" in done.stdout, f"pprof {name}: {done.stdout[:500]} {done.stderr[-500:]}")
            check("Session" in done.stdout and "managed objects, by type" in done.stdout, f"pprof {name}: types are missing: {done.stdout}")
        done = subprocess.run(["go", "tool", "pprof", "-top", f"{base}/debug/pprof/objects?seconds=0.5"], env=env, cwd=scratch, capture_output=True, text=True, timeout=60)
        check(done.returncode == 0 and "load" in done.stdout, f"pprof objects: {done.stdout[:800]} {done.stderr[-500:]}")
    check("load" in fetch(f"{base}/debug/pprof/objects?debug=1&seconds=0.1").decode(), "folded stacks")
    print("go tool pprof: heap, allocs and objects")


def check_json(base):
    first = json.loads(fetch(f"{base}/api/samples"))
    while not first["samples"]["number"]:  # the first sample comes a second after the start
        time.sleep(0.1)
        first = json.loads(fetch(f"{base}/api/samples"))
    lengths = {len(column) for column in first["samples"].values()}
    check(lengths == {len(first["samples"]["number"])}, f"samples: columns of lengths {lengths}")
    newest = first["samples"]["number"][-1]
    more = json.loads(fetch(f"{base}/api/samples?after={newest}"))
    check(all(n > newest for n in more["samples"]["number"]), "samples: not only newer ones")
    check(any(t["name"].endswith("Session") for t in first["types"]), "samples: types")
    check(any(t["name"] == "lull-gc" for t in first["threads"]), f"samples: threads {first['threads']}")
    check(any(t["name"] == "Hintergrund-\u00d6\ufffd" for t in first["threads"]), f"samples: a name that is cut off: {first['threads']}")
    check(json.loads(fetch(f"{base}/debug/vars"))["memstats"]["Mallocs"] > 0, "vars")
    check(len(json.loads(fetch(f"{base}/debug/trace?seconds=0.2"))["traceEvents"]) > 0, "trace")
    print("json: samples, vars and trace")
    return first["about"]["pid"]


def check_metrics(base):
    text = fetch(f"{base}/metrics")
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed: metrics not read by it")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60)
    check(done.returncode == 0, f"promtool: {done.stdout} {done.stderr}")
    print("promtool: no complaint")


def check_leak(base):
    """The program leaks, slowly: what the leak watch finds is told with the types."""
    growing = []
    deadline = time.monotonic() + 60
    while not growing and time.monotonic() < deadline:
        fetch(f"{base}/debug/gc", "POST")
        time.sleep(0.05)
        growing = [t["name"] for t in json.loads(fetch(f"{base}/api/samples?after=1000000"))["types"] if t["grows"] > 0]
    check(len(growing) == 1 and growing[0].endswith("Leaked"), f"types that grow: {growing}")
    print("leak watch: the type that grows is marked")


def run_under_terminal(command, keys, rows=30, columns=100):
    """What the command wrote by the time it ended after `keys` were typed, each when the screen has shown something new."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ["LINES"], os.environ["COLUMNS"] = str(rows), str(columns)
        os.execvp(command[0], command)
    screen = b""
    pending = list(keys)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1)
        try:
            piece = os.read(terminal, 65536) if ready else b""
        except OSError:
            break
        screen += piece
        if pending and b"Types" in screen:
            os.write(terminal, pending.pop(0))
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode(errors="replace")


def check_top(root, base, pid):
    tool = str(pathlib.Path(root) / "tools" / "lull-top")
    for whom in (str(pid), base):
        once = subprocess.run([tool, "--once", whom], capture_output=True, text=True, timeout=60)
        check(once.returncode == 0 and f"process {pid}" in once.stdout and "Session" in once.stdout and "lull-gc" in once.stdout,
              f"lull-top --once {whom}: {once.returncode} {once.stdout} {once.stderr}")
        check("\x1b" not in once.stdout, "lull-top --once: escape codes where there is no terminal")
    wrong = subprocess.run([tool, "--once", str(os.getpid())], capture_output=True, text=True, timeout=60)
    check(wrong.returncode == 1 and "no debug server" in wrong.stderr, f"lull-top of a process without a server: {wrong.returncode} {wrong.stderr}")
    code, screen = run_under_terminal([tool, str(pid)], [b"g", b"q"])
    check(code == 0 and "Session" in screen and screen.rstrip().endswith("\x1b[?1049l"), f"lull-top under a terminal: {code} {screen[-300:]!r}")
    print("lull-top: once, and under a terminal")


def main():
    program, root = sys.argv[1:]
    server = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        base = f"http://127.0.0.1:{int(server.stdout.readline())}"
        pid = check_json(base)
        check(pid == server.pid, "samples: process number")
        check_pprof(base)
        check_metrics(base)
        check_leak(base)
        check_top(root, base, pid)
    finally:
        server.stdin.close()
        check(server.wait(timeout=60) == 0, f"the program ended with {server.returncode}")
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

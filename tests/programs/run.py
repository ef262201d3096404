#!/usr/bin/env python3
"""Runs real programs with and without liblull-malloc.so preloaded and compares what they say.

    run.py LIBRARY [CASE ...]     all cases, or some; exit status 0: same output, 77: all of them skipped, 1: a difference
    run.py --list                 their names

A case (cases.py) is a function that works in an empty folder and returns text that does not depend on the allocator.
LULL_SHOW_OUTPUT=1 prints it. Each program started for the preloaded run is one that has the library mapped: servers are looked up in /proc.
"""
import difflib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # ctest's SKIP_RETURN_CODE


class Missing(Exception):
    """A program that the case needs is not installed."""


class Failed(Exception):
    """A program ended with an error, or a server never answered."""


class Box:
    """An empty folder and the way to start programs in it, preloaded or not."""

    def __init__(self, folder, library):
        self.folder = pathlib.Path(folder)
        self.library = library  # None: not preloaded
        self.servers = []

    def environment(self, extra):
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MAKEFLAGS")}
        env.update(HOME=str(self.folder), LC_ALL="C.UTF-8", TZ="UTC", TMPDIR=str(self.folder), **extra)
        if self.library:
            env["LD_PRELOAD"] = self.library
        return env

    def run(self, *command, stdin=None, check=True, env=None, timeout=280, **options):
        """Standard output; standard error too unless told otherwise."""
        options.setdefault("stderr", subprocess.STDOUT)
        done = subprocess.run([str(c) for c in command], input=stdin, stdout=subprocess.PIPE, cwd=self.folder,
                              env=self.environment(env or {}), timeout=timeout, **options)
        text = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{text[-4000:]}")
        return text

    def start(self, *command, ready, env=None, **options):
        """Starts a server and waits until ready() is true."""
        log = open(self.folder / f"server{len(self.servers)}.log", "wb")
        server = subprocess.Popen([str(c) for c in command], cwd=self.folder, env=self.environment(env or {}), stdout=log,
                                  stderr=log, **options)
        self.servers.append(server)
        self.wait_until(lambda: ready() or server.poll() is not None, f"{command[0]} does not answer")
        if server.poll() is not None:
            text = pathlib.Path(log.name).read_text(errors="replace")[-4000:]
            raise Failed(f"{command[0]}: exit status {server.returncode}\n{text}")
        mapped = self.library is not None and self.library in pathlib.Path(f"/proc/{server.pid}/maps").read_text()
        if mapped != (self.library is not None):
            raise Failed(f"{command[0]} runs without the library")
        return server

    def stop(self, server, how=signal.SIGTERM):
        server.send_signal(how)
        status = server.wait(timeout=60)
        self.servers.remove(server)
        return status

    @staticmethod
    def wait_until(condition, otherwise):
        for _ in range(1200):
            if condition():
                return
            time.sleep(0.05)
        raise Failed(otherwise)

    def kill_servers(self):
        for server in self.servers:
            server.kill()
            server.wait()
        self.servers = []


def find(program, *folders):
    """Where a program is; the search path first."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders])
    found = shutil.which(program, path=path)
    if found is None:
        raise Missing(program)
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def run_case(case, library):
    """The folder has the same name both times: it appears in what programs write."""
    folder = os.path.join(tempfile.gettempdir(), f"lull-{case.__name__}-{os.getpid()}")
    os.mkdir(folder, 0o755)
    box = Box(folder, library)
    try:
        return case(box)
    finally:
        box.kill_servers()
        shutil.rmtree(folder, ignore_errors=True)


def compare(case, library):
    """0, 1 or SKIPPED."""
    begun = time.monotonic()
    try:
        without = run_case(case, None)
        middle = time.monotonic()
        preloaded = run_case(case, library)
    except Missing as missing:
        print(f"{case.__name__}: skipped: {missing} is not installed (tools/setup full)", flush=True)
        return SKIPPED
    except (Failed, subprocess.TimeoutExpired) as failure:
        run = "without the library" if "middle" not in locals() else "preloaded"
        print(f"{case.__name__}: FAILED {run}: {failure}", flush=True)
        return 1
    times = f"{middle - begun:.1f} s without, {time.monotonic() - middle:.1f} s preloaded"
    if os.environ.get("LULL_SHOW_OUTPUT"):
        print(preloaded)
    if without == preloaded:
        print(f"{case.__name__}: same {len(without.splitlines())} lines; {times}", flush=True)
        return 0
    print(f"{case.__name__}: DIFFERENT; {times}")
    sys.stdout.writelines(difflib.unified_diff(without.splitlines(True), preloaded.splitlines(True), "without", "preloaded"))
    print(flush=True)
    return 1


def published(library):
    """A copy that other users may read: some servers refuse to run as root."""
    folder = tempfile.mkdtemp(prefix="lull-library-")
    os.chmod(folder, 0o755)
    copy = os.path.join(folder, os.path.basename(library))
    shutil.copy(library, copy)
    os.chmod(copy, 0o755)
    return copy


def main(arguments):
    import cases
    if arguments == ["--list"]:
        print("\n".join(cases.ALL))
        return 0
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    library = published(arguments[0])
    try:
        outcomes = [compare(cases.ALL[name], library) for name in arguments[1:] or cases.ALL]
    finally:
        shutil.rmtree(os.path.dirname(library))
    if 1 in outcomes:
        return 1
    return 0 if 0 in outcomes else SKIPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

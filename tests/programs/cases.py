"""The programs of run.py, one function each: what it returns must not depend on the allocator."""
import hashlib
import os
import pathlib
import random
import re
import signal
import subprocess
import urllib.request

from run import Failed, Missing, accepts, find, free_port

ALL = {}
PROJECT = pathlib.Path(__file__).resolve().parents[2]


def case(function):
    ALL[function.__name__] = function
    return function


def digest(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:16]


def children(pid):
    return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@case
def redis(box):
    """Traffic of every kind, a background save (fork) meanwhile, and the same keys after a reload."""
    server, bench, client = find("redis-server"), find("redis-benchmark"), find("redis-cli")
    port = free_port()
    running = box.start(server, "--port", port, "--save", "", "--dir", box.folder, "--enable-debug-command", "yes",
                        "--io-threads", 2, ready=lambda: accepts(port))

    def ask(*words):
        return box.run(client, "-p", port, *words).strip()

    lines = box.run(bench, "-p", port, "-n", 20000, "-c", 20, "-P", 8, "--csv", "-t",
                    "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset").splitlines()
    out = [line.split(",")[0] for line in lines[1:]]
    fill = ("for i=1,50000 do redis.call('set','k'..i,string.rep('v',i%700)); redis.call('hset','h'..i%100,'f'..i,i);"
            "redis.call('zadd','z'..i%50,i,'m'..i) end return redis.call('dbsize')")
    out += [ask("eval", fill, 0), ask("bgsave")]
    box.run(bench, "-p", port, "-n", 20000, "-c", 20, "-P", 8, "-q", "-d", 300, "-t", "lpush,lpop")
    while "rdb_bgsave_in_progress:1" in ask("info", "persistence"):
        pass
    out += [ask("info", "persistence").split("rdb_last_bgsave_status:")[1].split()[0], ask("del", "mylist"),
            ask("debug", "digest"), ask("debug", "reload"), ask("debug", "digest"), ask("dbsize"), ask("flushall")]
    return "\n".join(out + [str(box.stop(running))])


@case
def postgres(box):
    """initdb, a server, pgbench: no transaction is lost and the balances add up."""
    folders = sorted(map(str, pathlib.Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb, server, pgbench, psql = (find(p, *folders) for p in ("initdb", "postgres", "pgbench", "psql"))
    user = []
    if os.getuid() == 0:
        import pwd
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            raise Missing("the user postgres")
        os.chown(box.folder, owner.pw_uid, owner.pw_gid)
        user = [find("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    data, port = box.folder / "data", free_port()
    made = box.run(*user, initdb, "-D", data, "-U", "lull", "-A", "trust", "--no-sync", "--locale=C.UTF-8")
    running = box.start(*user, server, "-D", data, "-p", port, "-k", box.folder, "-c", "fsync=off", "-c",
                        "max_parallel_workers_per_gather=2", ready=lambda: accepts(port))
    login = ["-h", box.folder, "-p", port, "-U", "lull"]

    def ask(query):
        return box.run(*user, psql, *login, "-d", "postgres", "-At", "-c", query).strip()

    box.run(*user, pgbench, *login, "-i", "-q", "-s", 5, "postgres")
    out = [made, box.run(*user, pgbench, *login, "-c", 8, "-j", 2, "-t", 500, "--random-seed=1", "postgres")]
    out[1] = "\n".join(line for line in out[1].splitlines() if re.match(r"(number|transaction type|scaling|query mode)", line))
    out.append(ask("select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts), sum(delta) = "
                   "(select sum(bbalance) from pgbench_branches) from pgbench_history"))
    out.append(ask("select md5(string_agg(x::text, ',')) from (select sqrt(i)::text || repeat('x', i % 50) as x from "
                   "generate_series(1, 200000) i order by 1) s"))
    out.append(ask("select count(*), count(distinct aid % 1000) from pgbench_accounts a join generate_series(1, 300000) g on g = aid"))
    out.append(str(box.stop(running, signal.SIGINT)))
    return "\n".join(out)


@case
def nginx(box):
    """Static files under wrk, plain and compressed, with a reload of the workers in between."""
    server, wrk = find("nginx"), find("wrk")
    port, files = free_port(), box.folder / "files"
    files.mkdir()
    text = "".join(f"line {i} of a page that is worth compressing\n" for i in range(5000))
    (files / "page.txt").write_text(text)
    (files / "small.txt").write_text("small\n")
    (box.folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 2; pid {box.folder}/pid; error_log {box.folder}/errors;\n"
        "events {}\n"
        f"http {{ access_log off; gzip on; gzip_types text/plain; default_type text/plain; client_body_temp_path {box.folder}/b;"
        f" proxy_temp_path {box.folder}/p; fastcgi_temp_path {box.folder}/f; uwsgi_temp_path {box.folder}/u;"
        f" scgi_temp_path {box.folder}/s;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {files};\n"
        f"    location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; }} }} }}\n")
    os.chmod(box.folder, 0o755)
    running = box.start(server, "-p", box.folder, "-c", box.folder / "nginx.conf", "-e", box.folder / "errors",
                        ready=lambda: accepts(port))

    def get(path):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return digest(answer.read())

    def load(path, *options):
        said = box.run(wrk, "-t", 2, "-c", 32, "-d", 2, *options, f"http://127.0.0.1:{port}/{path}")
        served = int(re.search(r"(\d+) requests in", said).group(1)) > 100
        return f"{path}: served {served}, errors {re.findall(r'Non-2xx.*|Socket errors.*', said)}"

    out = [get("page.txt"), load("small.txt"), load("page.txt", "-H", "Accept-Encoding: gzip")]
    old = children(running.pid)
    running.send_signal(signal.SIGHUP)
    box.wait_until(lambda: len(children(running.pid)) == 2 and not old & children(running.pid), "no new workers")
    out += [load("proxy/page.txt"), get("proxy/page.txt")]
    return "\n".join(out + [str(box.stop(running, signal.SIGQUIT))])


def python_tests(box, *names):
    """python3's own tests, with objects from malloc (PYTHONMALLOC) where the interpreter would keep pools of its own."""
    python = "/usr/bin/python3"
    if not os.path.exists(python) or subprocess.run([python, "-c", "import test.test_list"], capture_output=True).returncode:
        raise Missing("libpython3.11-testsuite")
    out = []
    for name in names:
        said = box.run(python, "-m", "unittest", "-v", "test." + name, check=False, env={"PYTHONMALLOC": "malloc"})
        out.append(name + ": " + (re.findall(r"^(?:OK|FAILED).*", said, re.M) or [said[-2000:]])[-1])
        out += sorted(re.findall(r"^(?:FAIL|ERROR): .*", said, re.M))
        ran = re.findall(r"^Ran (\d+) tests", said, re.M)
        out.append(f"  ran {ran}")
        (box.folder / (name + ".log")).write_text(said)
    return "\n".join(out)


@case
def python_basics(box):
    return python_tests(box, "test_list", "test_dict", "test_threading", "test_fork1", "test_subprocess")


@case
def python_multiprocessing(box):
    return python_tests(box, "test_multiprocessing_fork")


def history(commits, files):
    """A repository for git fast-import: the same each time."""
    rng = random.Random(1)
    pages = [[f"line {rng.random()} of file {f}" for _ in range(rng.randrange(20, 400))] for f in range(files)]
    stream = []
    for n in range(commits):
        stream.append(f"commit refs/heads/main\ncommitter A <a@b> {1600000000 + n} +0000\ndata 8\ncommit {n % 10}\n")
        for f in range(files) if n == 0 else rng.sample(range(files), 5):
            pages[f][rng.randrange(len(pages[f]))] = f"changed in {n}: {rng.random()}"
            body = "\n".join(pages[f])
            stream.append(f"M 100644 inline d{f % 30}/f{f}\ndata {len(body)}\n{body}\n")
    return "".join(stream).encode()


@case
def git(box):
    """import, clone over the pack protocol, gc, fsck, log and blame of a repository with 3000 commits."""
    program = find("git")
    config = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "pack.threads", "GIT_CONFIG_VALUE_0": "2",
              "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*"}

    def run(*words, **options):
        return box.run(program, *words, env=config, **options)

    run("init", "-q", "--bare", "-b", "main", "origin")
    run("-C", "origin", "fast-import", "--quiet", stdin=history(3000, 600))
    run("clone", "-q", "--no-local", "file://" + str(box.folder / "origin"), "copy")
    run("-C", "copy", "gc", "-q", "--aggressive", "--prune=now")
    out = [run("-C", "copy", "fsck", "--full", "--no-progress"), run("-C", "copy", "rev-parse", "HEAD"),
           run("-C", "copy", "status", "--porcelain"), digest(run("-C", "copy", "log", "--stat")),
           digest(run("-C", "copy", "blame", "d7/f7")), digest(run("-C", "copy", "grep", "-n", "changed in 29"))]
    run("-C", "copy", "repack", "-q", "-a", "-d", "-f")
    return "\n".join(out + [run("-C", "copy", "fsck", "--full", "--no-progress")])


def build_with(compiler, box):
    """Objects of lull's collector and allocator, bit for bit; beside them the sources, so that who edits between the two runs is told so."""
    path = find(compiler)
    cmake, ninja = find("cmake"), find("ninja")
    for preset in (["-DLULL_BUILD_TESTS=OFF", "-DLULL_BUILD_BENCH=OFF", "-DLULL_BUILD_APPS=OFF", "-DCMAKE_BUILD_TYPE=Release"],):
        box.run(cmake, "-S", PROJECT, "-B", box.folder / "build", "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
                f"-DCMAKE_CXX_COMPILER={path}", *preset, env={"CCACHE_DISABLE": "1"})
    said = box.run(cmake, "--build", box.folder / "build", "-j2", "--target", "lull_gc", env={"CCACHE_DISABLE": "1"})
    if "warning" in said:
        raise Failed(said)
    objects = sorted((box.folder / "build").rglob("*.o"))
    sources = sorted(f for folder in ("alloc", "gc", "include") for f in (PROJECT / folder).rglob("*") if f.is_file())
    return "\n".join([f"sources {digest(b''.join(f.read_bytes() for f in sources))}"] +
                     [f"{o.name} {digest(o.read_bytes())}" for o in objects])


@case
def gcc(box):
    return build_with("g++", box)


@case
def clang(box):
    return build_with("clang++", box)


@case
def java(box):
    """A JVM that starts and exits, and one that makes keys and signs (threads, JIT, files)."""
    program, keytool = find("java"), find("keytool")
    store = ["-keystore", box.folder / "keys", "-storepass", "secret1", "-alias", "one"]
    out = [box.run(program, "-version"), box.run(program, "-Xmx256m", "-XX:+UseG1GC", "-XshowSettings:locale", "-version")]
    box.run(keytool, "-genkeypair", *store, "-keyalg", "RSA", "-keysize", 2048, "-dname", "CN=lull")
    listing = box.run(keytool, "-list", *store)
    return "\n".join(out + [str(len(re.findall("PrivateKeyEntry", listing)))])


@case
def node(box):
    """Worker threads, compression, hashing, buffers, a child process."""
    (box.folder / "work.js").write_text("""
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib'), crypto = require('crypto'), { execFileSync } = require('child_process');
function work(seed) {
  let all = [];
  for (let i = 0; i < 3000; ++i) all.push(Buffer.from(('x' + seed * i).repeat(i % 200)));
  const joined = Buffer.concat(all);
  const packed = zlib.gzipSync(joined);
  if (!zlib.gunzipSync(packed).equals(joined)) throw new Error('gzip');
  return crypto.createHash('sha256').update(joined).digest('hex');
}
if (isMainThread) {
  let left = 4, out = [];
  for (let i = 0; i < 4; ++i) {
    const worker = new Worker(__filename, { workerData: i + 1 });
    worker.on('message', m => out.push(m));
    worker.on('exit', code => { out.push('exit ' + code); if (--left === 0) {
      out.push(execFileSync(process.execPath, ['-e', 'console.log(JSON.stringify(Object.keys({a: 1})))']).toString());
      console.log(out.sort().join('\\n')); } });
  }
} else parentPort.postMessage(work(workerData));
""")
    return box.run(find("node"), "-e", "console.log('starts and exits')") + box.run(find("node"), "work.js")


@case
def chromium(box):
    """A picture of a page. Its own allocator stays in place; what it does not define comes from the library."""
    program = find("chromium")
    (box.folder / "page.html").write_text(
        "<html><body style='margin:0;background:#205080'><h1 style='color:white'>lull</h1><canvas id=c width=300 height=200>"
        "</canvas><script>const g=document.getElementById('c').getContext('2d');for(let i=0;i<200;++i){"
        "g.fillStyle=`rgb(${i},${255-i},128)`;g.fillRect(i,i/2,40,40)}</script></body></html>")
    said = box.run(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                   "--window-size=640,480", f"--user-data-dir={box.folder}/profile", f"--screenshot={box.folder}/page.png",
                   f"file://{box.folder}/page.html")
    picture = box.folder / "page.png"
    if not picture.exists():
        raise Failed(said)
    return digest(picture.read_bytes())


@case
def small_programs(box):
    """Shells, tools and libraries that a system runs all day, also with little address space (ulimit -v 2000000)."""
    bash = find("bash")
    text = "".join(f"{i * 7919 % 100003} word{i % 977} {'x' * (i % 60)}\n" for i in range(60000))
    (box.folder / "text").write_text(text)
    scripts = {
        "sort": "sort --parallel=2 -S 20M text | sha256sum",
        "awk": "awk '{ n[$2] += $1 } END { for (w in n) print w, n[w] }' text | sort | sha256sum",
        "sed and grep": "sed 's/word\\([0-9]*\\)/<\\1>/g' text | grep -c '<9'",
        "perl": "perl -ne '@f = split; push @{$h{$f[1]}}, $f[0]; END { print scalar(keys %h), \" \", scalar(@{$h{word5}}), \"\\n\" }' text",
        "python": "/usr/bin/python3 -c \"import json,re; d=[l.split() for l in open('text')]; print(len(json.dumps(d)), "
                  "len(set(x[1] for x in d)))\"",
        "xz": "xz -T2 -3 -c text | xz -dc | sha256sum",
        "tar": "tar cf - text | tar tf -",
        "openssl": "openssl dgst -sha256 text",
        "sqlite3": "sqlite3 :memory: 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where "
                   "x<50000) insert into t select x, hex(x) from c; create index i on t(b); select count(*), max(b) from t'",
        "find": "find /usr/include -name '*.h' | sort | head -500 | sha256sum",
        "bash": "for i in $(seq 300); do a[$i]=$(printf %d $i); done; echo ${#a[@]}",
    }
    (box.folder / "Makefile").write_text(
        "all: t1 t2 t3 t4 t5 t6\n\t@for t in $^; do ./$$t; done\n"
        "t%: program.c\n\t@gcc -O1 -Wall -DN=$* -o $@ program.c\n")
    (box.folder / "program.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        "int main(void) { char *p = calloc(N, 1000); p = realloc(p, 90000); memset(p, N, 90000);\n"
        "  printf(\"%d %d\\n\", p[0], p[89999]); free(p); return 0; }\n")
    scripts |= {
        "make and gcc": "make -s -B -j2",
        # Nothing but the library in the environment, as programs are started that change their user.
        "empty environment": "env -i LD_PRELOAD=\"$LD_PRELOAD\" /bin/bash -c 'echo $(/usr/bin/find /etc/alternatives | /usr/bin/wc -w)"
                             " $HOME $PATH' | wc -c",
        "no descriptors": "/usr/bin/perl -e 'my @a = map { \"x\" x $_ } 1..3000; exit(@a == 3000 ? 0 : 1)' <&- >&- 2>&-; echo $?",
        "many processes": "for i in $(seq 200); do /bin/true & done; wait; echo done",
    }
    out = []
    for name, script in scripts.items():
        for limit in ("", "ulimit -v 2000000 && ", "ulimit -d 300000 && "):
            out.append(f"{name} {limit}: " + box.run(bash, "-c", limit + script))
    return "".join(out)

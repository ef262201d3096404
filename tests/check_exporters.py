#!/usr/bin/env python3
"""Real parsers read what lull's exporters write.

    check_exporters.py PROGRAM    PROGRAM FORMAT writes prometheus, expvar or otlp to standard output (tests/gc/export_test.cc)

prometheus: promtool (Debian's package prometheus) must find nothing to complain about. expvar: Python's JSON parser, and the fields
that Go's expvar has. otlp: OpenTelemetry's own message types (npm's @opentelemetry/otlp-transformer 0.57, found below the folder
LULL_OTLP_MODULES) must read every field: what they read and write again is what was there. Without it the shape is checked
by hand. What is not installed is said and passed over.
"""

import json
import os
import re
import shutil
import subprocess
import sys

ROUND_TRIP = """
const root = require(process.argv[1] + '/@opentelemetry/otlp-transformer/build/src/generated/root.js');
const Request = root.opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest;
const bytes = Request.encode(Request.fromObject(JSON.parse(require('fs').readFileSync(0)))).finish();
process.stdout.write(JSON.stringify(Request.toObject(Request.decode(bytes), {longs: String})));
"""

failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


def output_of(program, fmt):
    return subprocess.run([program, fmt], check=True, capture_output=True, timeout=60).stdout


def check_prometheus(text):
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed: prometheus format not checked by it")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60)
    # It also has opinions on names; ours follow those of Go's runtime/metrics, whose totals of cycles say so twice.
    complaints = [l for l in (done.stdout + done.stderr).decode().splitlines() if l.strip()]
    check(done.returncode == 0 and not complaints, f"promtool: {complaints}")
    print("promtool: no complaint")


def check_expvar(text):
    value = json.loads(text)
    check(value["cmdline"][-1] == "expvar", "expvar: cmdline")
    stats = value["memstats"]
    for name in ("Alloc", "TotalAlloc", "Sys", "Mallocs", "Frees", "HeapAlloc", "HeapSys", "HeapIdle", "HeapInuse", "HeapReleased",
                 "HeapObjects", "NextGC", "LastGC", "PauseTotalNs", "NumGC", "GCCPUFraction", "EnableGC"):
        check(name in stats, f"expvar: memstats.{name}")
    check(len(stats["PauseNs"]) == 256 and len(stats["PauseEnd"]) == 256, "expvar: pauses")
    check(sum(s["Mallocs"] for s in stats["BySize"]) == stats["Mallocs"], "expvar: BySize")
    check(value["lull"]["/gc/cycles/total:gc-cycles"] == stats["NumGC"], "expvar: cycles")
    check(any(t["name"].endswith("Node") for t in value["types"]), "expvar: types")
    print("json: expvar is whole")


def canonical(value):
    """Numbers as numbers, so that 1 is 1.0 and 64-bit integers in strings compare."""
    if isinstance(value, dict):
        return {k: canonical(v) for k, v in value.items()}
    if isinstance(value, list):
        return [canonical(v) for v in value]
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        return int(value)
    if value == "AGGREGATION_TEMPORALITY_CUMULATIVE":
        return 2
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def check_otlp(text):
    value = json.loads(text)
    metrics = value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    names = [m["name"] for m in metrics]
    check(len(names) == len(set(names)), f"otlp: names twice: {sorted(n for n in set(names) if names.count(n) > 1)}")
    check(len(names) >= 40, "otlp: too few metrics")
    for m in metrics:
        (kind,) = {"sum", "gauge", "histogram"} & m.keys()
        for point in m[kind]["dataPoints"]:
            check(int(point["startTimeUnixNano"]) <= int(point["timeUnixNano"]), f"otlp: times of {m['name']}")
            if kind == "histogram":
                check(len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1, f"otlp: buckets of {m['name']}")
                check(sum(map(int, point["bucketCounts"])) == int(point["count"]), f"otlp: counts of {m['name']}")
    modules = os.environ.get("LULL_OTLP_MODULES")
    if modules is None or shutil.which("node") is None:
        print("LULL_OTLP_MODULES is not set, or node not installed: otlp not read by OpenTelemetry's own types")
        return
    done = subprocess.run(["node", "-e", ROUND_TRIP, modules], input=text, capture_output=True, timeout=60)
    check(done.returncode == 0, f"otlp: {done.stderr.decode()[-500:]}")
    if done.returncode == 0:
        check(canonical(json.loads(done.stdout)) == canonical(value), "otlp: OpenTelemetry's types lost something")
        print("opentelemetry: reads every field")


def main():
    program = sys.argv[1]
    check_prometheus(output_of(program, "prometheus"))
    check_expvar(output_of(program, "expvar"))
    check_otlp(output_of(program, "otlp"))
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

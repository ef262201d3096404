// The charts, by uPlot.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./page.css";
import * as format from "./format.js";

const KINDS = [
  {
    title: "Heap",
    hint: "Objects rise and fall like a saw under the dashed goal. If live, what survived a cycle, climbs for minutes, something is kept that should not be.",
    show: format.bytes,
    series: [
      {column: "held", label: "held from the system", colour: "--grey"},
      {column: "objects", label: "objects", colour: "--blue"},
      {column: "live", label: "live", colour: "--green", fill: true},
      {column: "goal", label: "goal", colour: "--amber", dash: [6, 4], missing: 0},
    ],
  },
  {
    title: "Allocation",
    hint: "How fast the program makes managed objects. The collector's work follows this line, so allocating less is the surest tuning.",
    show: format.bytesPerSecond,
    series: [{column: "allocated_bytes", label: "bytes a second", colour: "--blue", fill: true}],
  },
  {
    title: "Pauses",
    hint: "How long a single thread was held up at a time. Dots far above the line are what users would notice; a millisecond is rarely one.",
    show: format.duration,
    log: true,
    series: [
      {column: "pause_max", label: "longest", colour: "--red", points: true},
      {column: "pause_p99", label: "99 of 100 are below", colour: "--amber", missing: 0},
      {column: "pause_p50", label: "half are below", colour: "--blue", missing: 0},
    ],
  },
  {title: "Pauses, how many", hint: "The same pauses sorted by length. One hump at the left is good; a second one further right has a cause worth finding.", bars: true},
  {
    title: "Processors",
    hint: "Whole processors busy. Collecting should stay well below the program; assists above zero mean that it allocates faster than marking keeps up.",
    show: format.processors,
    series: [
      {column: "program", label: "whole program", colour: "--grey", fill: true},
      {column: "collector", label: "collecting", colour: "--green"},
      {column: "assists", label: "assists", colour: "--red"},
    ],
  },
  {
    title: "Slow allocations",
    hint: "Allocations that had to fetch memory, sweep, or help marking. Long ones while cycles run mean the heap is small for this rate.",
    show: format.duration,
    log: true,
    series: [
      {column: "slow_max", label: "longest", colour: "--red", points: true},
      {column: "slow_p99", label: "99 of 100 are below", colour: "--amber", missing: 0},
    ],
  },
];

const HEIGHT = 184;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const POWERS_OF_TWO = Array.from({length: 50}, (_, i) => 2 ** i);  // 64 MiB, 128 MiB: not 95.4

function axes(show) {
  const inBytes = show === format.bytes || show === format.bytesPerSecond;
  const common = {stroke: colour("--dim"), grid: {stroke: colour("--grid"), width: 1}, ticks: {show: false}, font: "12px system-ui, sans-serif"};
  return [
    {...common, size: 26, gap: 6, space: 55, values: [[3600, "{HH}:{mm}", null, null, null, null, null, null, 1], [60, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]]},
    {...common, size: 76, gap: 6, space: 34, ...(inBytes ? {incrs: POWERS_OF_TWO} : {}), values: (_, splits) => splits.map((v) => (v === null ? "" : show(v)))},
  ];
}

const valueOf = (show) => (_, v) => (v === null || v === undefined ? "–" : show(v));
const transparent = (c) => `color-mix(in srgb, ${c} 14%, transparent)`;

function lineSeries(s, show) {
  const stroke = colour(s.colour);
  const points = s.points ? {show: true, size: 4, fill: stroke} : {show: false};
  return {label: s.label, stroke, width: s.points ? 0 : 1.75, dash: s.dash, fill: s.fill ? transparent(stroke) : undefined, points, value: valueOf(show)};
}

// From 0 to a little above the highest; of durations, which span powers of ten, whole decades.
function range(log) {
  if (!log) return (_, low, high) => [0, high > 0 ? high * 1.08 : 1];
  return (_, low, high) => [10 ** Math.floor(Math.log10(Math.max(low || 1000, 100))), 10 ** Math.ceil(Math.log10(Math.max(high || 1, 10000)))];
}

// Beside the names stand the values under the cursor; without one, the newest.
function showNewest(plot) {
  if (plot.cursor.idx === null && plot.data[0].length > 0) plot.setLegend({idx: plot.data[0].length - 1});
}

function lineOptions(kind, width) {
  return {
    width,
    height: HEIGHT,
    cursor: {sync: {key: "time"}, points: {size: 6}},
    hooks: {setCursor: [showNewest]},
    scales: {x: {time: true}, y: {distr: kind.log ? 3 : 1, log: 10, range: range(kind.log)}},
    axes: axes(kind.show),
    series: [{label: "at", value: (_, v) => (v === null || v === undefined ? "–" : new Date(v * 1000).toLocaleTimeString())}, ...kind.series.map((s) => lineSeries(s, kind.show))],
  };
}

const bucketStart = (i) => format.duration(2 ** (i + 8));

function barOptions(width) {
  const blue = colour("--blue");
  const [x, y] = axes(format.count);
  return {
    width,
    height: HEIGHT,
    cursor: {points: {show: false}},
    scales: {x: {time: false, range: (_, low, high) => [low - 0.6, high + 0.6]}, y: {range: (_, low, high) => [0, Math.max(high, 4) * 1.08]}},
    axes: [{...x, space: 60, incrs: [1, 2, 4], grid: {show: false}, values: (_, splits) => splits.map((i) => (Number.isInteger(i) && i >= 0 ? bucketStart(i) : ""))}, {...y, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6]}],
    series: [
      {label: "from", value: (_, i) => (i === null || i === undefined ? "–" : `${bucketStart(i)} to ${bucketStart(i + 1)}`)},
      {label: "pauses", stroke: blue, fill: transparent(blue), width: 1, points: {show: false}, paths: uPlot.paths.bars({size: [0.86, 60]}), value: valueOf(format.count)},
    ],
  };
}

function lineData(kind, history, seconds) {
  const column = (s) => history.recent(s.column, seconds).map((v) => ((kind.log || s.missing === 0) && v === 0 ? null : v));
  return [history.recent("time", seconds), ...kind.series.map(column)];
}

// Without the empty buckets at both ends, but never fewer than a few.
function barData(history, seconds) {
  const counts = history.pauseBuckets(seconds);
  const filled = counts.flatMap((n, i) => (n > 0 ? [i] : []));
  const from = Math.min(2, filled[0] ?? 2);
  const to = Math.max(12, filled[filled.length - 1] ?? 12);
  const indices = Array.from({length: to - from + 1}, (_, i) => from + i);
  return [indices, indices.map((i) => counts[i] ?? 0)];
}

class Chart {
  constructor(kind, where) {
    this.kind = kind;
    this.card = document.createElement("article");
    this.card.className = "card";
    const title = document.createElement("h2");
    title.textContent = kind.title;
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = kind.hint;
    this.place = document.createElement("div");
    this.card.append(title, hint, this.place);
    where.append(this.card);
    this.data = kind.bars ? [[], []] : [[], ...kind.series.map(() => [])];
    this.make();
  }
  make() {
    this.plot?.destroy();
    const width = Math.max(240, this.place.clientWidth);
    this.plot = new uPlot(this.kind.bars ? barOptions(width) : lineOptions(this.kind, width), this.data, this.place);
  }
  resize() {
    this.plot.setSize({width: Math.max(240, this.place.clientWidth), height: HEIGHT});
  }
  show(history, seconds) {
    this.data = this.kind.bars ? barData(history, seconds) : lineData(this.kind, history, seconds);
    this.plot.setData(this.data);
    if (!this.kind.bars) showNewest(this.plot);
  }
}

export function makeCharts(where) {
  const charts = KINDS.map((kind) => new Chart(kind, where));
  new ResizeObserver(() => charts.forEach((c) => c.resize())).observe(where);
  return {
    show: (history, seconds) => charts.forEach((c) => c.show(history, seconds)),
    restyle: () => charts.forEach((c) => c.make()),
  };
}

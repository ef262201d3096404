// Tiles and tables. Everything the program says is put in as text, never as markup.
import * as format from "./format.js";

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function tile(label, value, note) {
  const t = element("div", undefined, "tile");
  t.append(element("span", label, "label"), element("span", value, "value"), element("span", note, "note"));
  return t;
}

export function showTiles(where, history, about) {
  const h = history;
  const busy = h.last("collector") + h.last("assists");
  const cycles = h.sum("cycles", 60);
  const goal = h.last("goal");
  where.replaceChildren(
    tile("Live heap", format.bytes(h.last("live")), goal === 0 ? "no goal yet" : `next cycle ends near ${format.bytes(goal)}`),
    tile("Allocating", format.bytesPerSecond(h.last("allocated_bytes")), `${format.count(h.last("allocated_objects"))} objects/s`),
    tile("Longest pause", format.duration(h.max("pause_max", 60)), `of ${format.count(h.sum("pauses", 60))} in the last minute`),
    tile("Collecting", format.percent(busy / Math.max(about.processors, 1)),
         `of ${about.processors} processor${about.processors === 1 ? "" : "s"}`),
    tile("Held", format.bytes(h.last("held")), `the whole process: ${format.bytes(h.last("resident"))}`),
    tile("Cycles", format.count(cycles), `in the last minute, ${format.count(h.sum("young", 60))} young`));
}

function row(cells) {
  const tr = element("tr");
  for (const cell of cells) tr.append(cell);
  return tr;
}
const head = (names) => {
  const thead = element("thead");
  thead.append(row(names.map((n, i) => element("th", n.replace("*", ""), i === 0 ? "" : n.endsWith("*") ? "number minor" : "number"))));
  return thead;
};
const number = (text) => element("td", text, "number");
const minor = (text) => element("td", text, "number minor");  // not on phones

// A cell with a bar behind it.
function share(text, part) {
  const td = number(text);
  td.classList.add("bar");
  td.style.setProperty("--part", `${Math.min(100, Math.max(0, part * 100)).toFixed(1)}%`);
  return td;
}

// What grew since the last look, by key.
export class Rates {
  constructor(key, value) {
    this.key = key;
    this.value = value;
    this.before = new Map();
    this.time = 0;
  }
  update(rows, now) {
    const seconds = now - this.time;
    const rates = new Map();
    for (const r of rows) {
      const before = this.before.get(r[this.key]);
      rates.set(r[this.key], before === undefined || seconds <= 0 ? null : Math.max(0, (r[this.value] - before) / seconds));
    }
    this.before = new Map(rows.map((r) => [r[this.key], r[this.value]]));
    this.time = now;
    return rates;
  }
}

const known = (value, show) => (value === null || value === undefined ? "–" : show(value));

// "std::vector<int, std::allocator<int> >" and the like may be long: the whole name is in the title.
function nameCell(text) {
  const td = element("td", text, "name");
  td.title = text;
  return td;
}

export function showTypes(table, types, rates) {
  const all = types.reduce((sum, t) => sum + t.bytes, 0);
  const body = element("tbody");
  for (const t of types.slice(0, 12)) {
    const name = nameCell(t.name);
    if (t.grows > 0) {
      name.classList.add("grows");
      name.textContent = `▲ ${t.name}`;
      name.title = `${t.name}: the leak watch sees it grow by ${format.bytesPerSecond(t.grows)}`;
    }
    body.append(row([name, share(format.bytes(t.bytes), all === 0 ? 0 : t.bytes / all), number(format.count(t.objects)),
                     minor(format.bytes(t.live_bytes)), number(known(rates.get(t.name), format.bytesPerSecond))]));
  }
  if (types.length === 0) body.append(row([element("td", "no managed objects yet")]));
  table.replaceChildren(head(["type", "in heap", "objects", "live*", "allocating"]), body);
}

const STATES = {R: "running", S: "waiting", D: "waiting for a device", T: "stopped", t: "traced", Z: "ended"};

export function showThreads(table, threads, rates) {
  const busyFirst = [...threads].sort((a, b) => (rates.get(b.id) ?? 0) - (rates.get(a.id) ?? 0) || b.cpu_seconds - a.cpu_seconds);
  const body = element("tbody");
  for (const t of busyFirst.slice(0, 12)) {
    const rate = rates.get(t.id);
    const name = nameCell(t.name);
    if (t.name.startsWith("lull-")) name.classList.add("ours");
    body.append(row([name, share(known(rate, format.percent), rate ?? 0), number(format.span(t.cpu_seconds)), minor(STATES[t.state] ?? t.state), minor(String(t.id))]));
  }
  table.replaceChildren(head(["thread", "processor", "so far", "now*", "id*"]), body);
}

// Asks the program once a second what is new and shows it.
import {makeCharts} from "./charts.js";
import * as format from "./format.js";
import {History} from "./history.js";
import {Rates, showThreads, showTiles, showTypes} from "./tables.js";

const PERIOD_MS = 1000;
const at = (id) => document.getElementById(id);

let history = new History();
let typeRates = new Rates("name", "total_bytes");
let threadRates = new Rates("id", "cpu_seconds");
let paused = false;
const charts = makeCharts(at("charts"));

function setStatus(text, kind) {
  at("status").textContent = text;
  at("status").className = `status ${kind}`;
}

function showAbout(about) {
  at("program").textContent = about.program;
  document.title = `${about.program} · lull`;
  const limit = about.limit === 0 ? "" : ` · limit ${format.bytes(about.limit)}`;
  at("about").textContent = `process ${about.pid} on ${about.host} · up ${format.span(about.uptime)} · ${format.count(about.cycles)} cycles · ` +
    `${format.bytes(about.allocated)} allocated so far${limit}`;
}

function redraw() {
  charts.show(history, Number(at("window").value));
}

async function ask() {
  const response = await fetch(`/api/samples?after=${history.newest}`, {cache: "no-store", signal: AbortSignal.timeout(5000)});
  if (!response.ok) throw new Error(`${response.status}`);
  return response.json();
}

function forget() {
  history = new History();
  typeRates = new Rates("name", "total_bytes");
  threadRates = new Rates("id", "cpu_seconds");
}

async function update() {
  try {
    let snapshot = await ask();
    if (!history.add(snapshot)) {
      forget();
      snapshot = await ask();
      history.add(snapshot);
    }
    showAbout(snapshot.about);
    showTiles(at("tiles"), history, snapshot.about);
    showTypes(at("types"), snapshot.types, typeRates.update(snapshot.types, snapshot.about.now));
    showThreads(at("threads"), snapshot.threads, threadRates.update(snapshot.threads, snapshot.about.now));
    redraw();
    setStatus("live", "good");
  } catch {
    setStatus("no answer", "bad");
  }
}

async function run() {
  for (;;) {
    const begun = performance.now();
    if (!paused && !document.hidden) await update();
    await new Promise((resolve) => setTimeout(resolve, Math.max(100, PERIOD_MS - (performance.now() - begun))));
  }
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) setStatus("paused", "");
});

at("collect").addEventListener("click", async () => {
  at("collect").disabled = true;
  try {
    await fetch("/debug/gc", {method: "POST"});
  } catch {
    setStatus("no answer", "bad");
  }
  at("collect").disabled = false;
});

function isDark() {
  return (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}
at("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  } catch {
    // a browser that keeps nothing
  }
  charts.restyle();
});
try {
  const chosen = localStorage.getItem("theme");
  if (chosen !== null) document.documentElement.dataset.theme = chosen;
} catch {
  // the system's
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.restyle());
at("window").addEventListener("change", redraw);
charts.restyle();
run();

// In the place of charts.js where the chart library was not there when the program was built.
export function makeCharts(where) {
  const note = document.createElement("p");
  note.className = "hint";
  note.textContent = "Built without charts: run npm ci in debug/web, configure and build again. Figures and tables are live.";
  where.append(note);
  return {show() {}, restyle() {}};
}

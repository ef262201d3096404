// Numbers with units, three significant digits.

function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, step, units) {
  let i = 0;
  while (Math.abs(value) >= step * 0.9995 && i < units.length - 1) {
    value /= step;
    i += 1;
  }
  return `${i === 0 && Number.isInteger(value) ? value : digits(value)} ${units[i]}`;
}

export const bytes = (n) => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
export const bytesPerSecond = (n) => `${bytes(Math.round(n))}/s`;
export const duration = (ns) => (ns === 0 ? "0" : scaled(ns, 1000, ["ns", "µs", "ms", "s"]));
export const count = (n) => scaled(Math.round(n), 1000, ["", "k", "M", "G", "T"]).trim();
export const percent = (share) => `${digits(share * 100)} %`;
export const processors = (n) => digits(n);

export function span(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  const [size, unit] = parts[at];
  const first = `${Math.floor(seconds / size)} ${unit}`;
  if (at === parts.length - 1) return first;
  const [nextSize, nextUnit] = parts[at + 1];
  const rest = Math.floor((seconds % size) / nextSize);
  return rest === 0 ? first : `${first} ${rest} ${nextUnit}`;
}

// The samples that the server has told so far, by columns.

const MOST = 600;

export class History {
  constructor() {
    this.columns = null;
    this.pid = 0;
  }

  get newest() {
    return this.length === 0 ? 0 : this.columns.number[this.length - 1];
  }
  get length() {
    return this.columns === null ? 0 : this.columns.number.length;
  }

  // False: another process answers at this address now, or its server was started again; all must be asked for anew.
  add(snapshot) {
    const {samples, about} = snapshot;
    if (this.columns === null) {
      this.columns = samples;
      this.pid = about.pid;
      this.started = about.now - about.uptime;
      return true;
    }
    if (about.pid !== this.pid || (samples.number.length !== 0 && samples.number[0] !== this.newest + 1)) {
      this.columns = null;
      return false;
    }
    for (const name of Object.keys(this.columns)) {
      this.columns[name].push(...samples[name]);
      if (this.columns[name].length > MOST) this.columns[name].splice(0, this.columns[name].length - MOST);
    }
    return true;
  }

  last(name) {
    return this.length === 0 ? 0 : this.columns[name][this.length - 1];
  }
  // The values of the newest so many seconds.
  recent(name, seconds) {
    return this.length === 0 ? [] : this.columns[name].slice(-seconds);
  }
  sum(name, seconds) {
    return this.recent(name, seconds).reduce((a, b) => a + b, 0);
  }
  max(name, seconds) {
    return this.recent(name, seconds).reduce((a, b) => Math.max(a, b), 0);
  }
  // How many pauses fell into each bucket: [2^(8+i), 2^(9+i)) ns.
  pauseBuckets(seconds) {
    const rows = this.recent("pause_buckets", seconds);
    return rows.length === 0 ? [] : rows[0].map((_, i) => rows.reduce((n, row) => n + row[i], 0));
  }
}

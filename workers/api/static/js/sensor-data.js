// The last rows of one sensor: cleaned and measured come apart, and are put together by their time.
// At most ROWS rows are kept, however long the page is open.

const ROWS = 1500;

export class SensorData {
  constructor(found) {
    this.rows = new Map(); // time in ms -> { score, cleaned, measured }
    this.flagged = [];
    this.channels = found.channels;
    this.apply(found);
  }

  apply(found) {
    if (found.channels.join("\0") !== this.channels.join("\0")) return false;
    const { cleaned, measured, flagged } = found;
    cleaned.ts.forEach((ts, i) => {
      const row = this.row(ts);
      row.score = cleaned.score[i];
      row.cleaned = cleaned.values.map((column) => column[i]);
    });
    measured.ts.forEach((ts, i) => {
      this.row(ts).measured = measured.values.map((column) => column[i]);
    });
    flagged.ts.forEach((ts, i) => this.flagged.push({ ts, shares: flagged.contribution.map((column) => column[i]) }));
    this.flagged = this.flagged.slice(-200);
    this.band = found.band;
    this.score = found.score;
    this.last = found.last;
    this.isOnMap = Boolean(found.latent);
    this.trim();
    return true;
  }

  row(ts) {
    let row = this.rows.get(ts);
    if (!row) {
      row = {};
      this.rows.set(ts, row);
      this.sorted = null;
    }
    return row;
  }

  times() {
    if (!this.sorted) this.sorted = [...this.rows.keys()].sort((a, b) => a - b);
    return this.sorted;
  }

  trim() {
    if (this.rows.size <= ROWS) return;
    for (const ts of this.times().slice(0, this.rows.size - ROWS)) this.rows.delete(ts);
    this.sorted = null;
  }

  // Columns for a chart of a channel: x, low, high, measured, cleaned.
  channel(at) {
    const times = this.times();
    const half = this.band[at];
    const columns = [[], [], [], [], []];
    for (const ts of times) {
      const row = this.rows.get(ts);
      const cleaned = row.cleaned ? row.cleaned[at] : null;
      columns[0].push(ts / 1000);
      columns[1].push(cleaned === null || half === null ? null : cleaned - half);
      columns[2].push(cleaned === null || half === null ? null : cleaned + half);
      columns[3].push(row.measured ? row.measured[at] : null);
      columns[4].push(cleaned);
    }
    return columns;
  }

  // Rows of a channel for `cleaningOf`: measured, cleaned, score.
  both(at) {
    return this.times().map((ts) => {
      const row = this.rows.get(ts);
      return [row.measured ? row.measured[at] : null, row.cleaned ? row.cleaned[at] : null, row.score];
    });
  }

  scores() {
    const times = this.times();
    return [times.map((ts) => ts / 1000), times.map((ts) => this.rows.get(ts).score ?? null)];
  }

  // Mean share of each channel in the scores of the flagged rows since a time, largest first.
  contributions(since) {
    const rows = this.flagged.filter((one) => one.ts >= since);
    if (!rows.length) return [];
    return this.channels
      .map((channel, at) => ({ channel, at, share: rows.reduce((sum, one) => sum + (one.shares[at] || 0), 0) / rows.length }))
      .sort((a, b) => b.share - a.share);
  }
}

// Stretches [from, to] in seconds in which the score is at or above the threshold.
export function flagsOf([x, scores], threshold = 1) {
  const found = [];
  let from = null;
  for (let i = 0; i < x.length; i += 1) {
    const isOver = scores[i] !== null && scores[i] >= threshold;
    if (isOver && from === null) from = x[i];
    if (!isOver && scores[i] !== null && from !== null) {
      found.push([from, x[i]]);
      from = null;
    }
  }
  if (from !== null) found.push([from, x[x.length - 1]]);
  return found;
}

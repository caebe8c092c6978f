// The scores of all sensors by time: a table of numbers that moves on with the time of the newest
// reading. Its size is sensors x cells, whatever comes.

export class FleetData {
  constructor(found) {
    this.step = found.step_s;
    this.cells = found.cells;
    this.end = found.end;
    this.place = found.place;
    this.following = found.following;
    this.sensors = new Map();
    for (const one of found.sensors) {
      this.sensors.set(one.sensor_id, {
        id: one.sensor_id,
        labels: one.labels,
        last: one.last,
        score: one.score,
        scores: Float32Array.from(one.scores, (value) => (value === null ? NaN : value)),
      });
    }
    this.rank();
  }

  // Take in an event `fleet` of /v1/live.
  apply(delta) {
    if (delta.end > this.end) this.moveOn(delta.end - this.end);
    this.end = Math.max(delta.end, this.end);
    let isNew = false;
    for (const one of delta.sensors) {
      let sensor = this.sensors.get(one.sensor_id);
      if (!sensor) {
        isNew = true;
        sensor = { id: one.sensor_id, labels: {}, scores: new Float32Array(this.cells).fill(NaN) };
        this.sensors.set(one.sensor_id, sensor);
      }
      sensor.last = one.last;
      sensor.score = one.score;
      for (const [cell, score] of one.changed) {
        const at = this.cells - 1 - (this.end - cell);
        if (at >= 0 && at < this.cells) sensor.scores[at] = score === null ? NaN : score;
      }
      sensor.worst = worstOf(sensor.scores);
    }
    return isNew;
  }

  moveOn(by) {
    const kept = Math.max(this.cells - by, 0);
    for (const sensor of this.sensors.values()) {
      sensor.scores.copyWithin(0, this.cells - kept);
      sensor.scores.fill(NaN, kept);
      sensor.worst = worstOf(sensor.scores);
    }
  }

  // How many cells there are from the first one with a score on.
  filled() {
    let most = 0;
    for (const sensor of this.sensors.values()) {
      const first = sensor.scores.findIndex((score) => !Number.isNaN(score));
      if (first >= 0) most = Math.max(most, this.cells - first);
    }
    return most;
  }

  rank() {
    for (const sensor of this.sensors.values()) sensor.worst = worstOf(sensor.scores);
  }

  // Those that fit, the highest score of the window first.
  worstFirst(words, label) {
    const key = (sensor) => (Number.isNaN(sensor.worst) ? -1 : sensor.worst);
    return fitting(this.sensors.values(), words, label).sort((a, b) => key(b) - key(a) || (a.id < b.id ? -1 : 1));
  }

  timeOf(cell) {
    return (this.end - (this.cells - 1 - cell)) * this.step * 1000;
  }

  newest() {
    let newest = 0;
    for (const sensor of this.sensors.values()) newest = Math.max(newest, sensor.last || 0);
    return newest;
  }
}

// Those whose name and labels have all of the words, and that have the label.
export function fitting(sensors, words, label) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const [name, value] = label ? JSON.parse(label) : [];
  const found = [];
  for (const sensor of sensors) {
    if (label && sensor.labels[name] !== value) continue;
    if (wanted.length) {
      const text = `${sensor.id} ${Object.values(sensor.labels).join(" ")}`.toLowerCase();
      if (!wanted.every((word) => text.includes(word))) continue;
    }
    found.push(sensor);
  }
  return found;
}

// All labels, as name=value with the number of sensors that have it.
export function labelChoices(sensors) {
  const counts = new Map();
  for (const sensor of sensors) {
    for (const pair of Object.entries(sensor.labels)) {
      const key = JSON.stringify(pair);
      counts.set(key, (counts.get(key) || 0) + 1);
    }
  }
  return [...counts].map(([key, count]) => ({ key, pair: JSON.parse(key), count })).sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, 200);
}

function worstOf(scores) {
  let worst = NaN;
  for (let i = 0; i < scores.length; i += 1) if (!(scores[i] <= worst) && !Number.isNaN(scores[i])) worst = scores[i];
  return worst;
}

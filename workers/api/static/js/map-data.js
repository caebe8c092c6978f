// Where each sensor is on the model's map of its latent space, and how that is drawn.

import { severityOf } from "./words.js";

const SILENT_MS = 300_000;
// Distances from the usual state that get a ring, in standard deviations.
export const RINGS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];
// The map always reaches at least this far, however near to each other all sensors are.
const LEAST = 4;

export class MapData {
  constructor(found) {
    this.model = found.model;
    this.normal = found.normal;
    this.place = found.place;
    this.following = found.following;
    this.sensors = new Map();
    for (const one of found.sensors) this.sensors.set(one.sensor_id, { id: one.sensor_id, labels: one.labels, last: one.last, score: one.score, latent: one.latent });
  }

  // Take in an event `fleet` of /v1/live; true: ask for the whole again.
  apply(delta) {
    if (delta.model !== this.model) return true;
    for (const one of delta.sensors) {
      const sensor = this.sensors.get(one.sensor_id);
      if (!sensor) return true;
      sensor.last = one.last;
      sensor.score = one.score;
      sensor.latent = one.latent;
    }
    return false;
  }

  newest() {
    let newest = 0;
    for (const sensor of this.sensors.values()) newest = Math.max(newest, sensor.last || 0);
    return newest;
  }

  // "high", "medium", "low", "normal", or "silent" for one that has not measured for a while.
  stateOf(sensor, newest) {
    if (newest - sensor.last > SILENT_MS) return "silent";
    return severityOf(sensor.score) || "normal";
  }
}

// From the usual state, in standard deviations of normal windows.
export const distanceOf = (sensor) => (sensor.latent ? Math.hypot(...sensor.latent) : NaN);

// Linear near the usual state, logarithmic far from it: what is far out would leave no room otherwise.
export function squeezed([x, y]) {
  const r = Math.hypot(x, y);
  const by = r > 0 ? Math.asinh(r) / r : 1;
  return [x * by, y * by];
}

// Pixels per squeezed unit at which all places fit. Stays as it was while they fit well, as a map
// that is drawn at another scale each second cannot be read.
export function scaleOf(places, width, height, before) {
  const room = 34;
  const [halfX, halfY] = [width / 2 - room, height / 2 - room];
  let fit = Math.min(halfX, halfY) / Math.asinh(LEAST);
  for (const place of places) {
    const [x, y] = squeezed(place);
    fit = Math.min(fit, halfX / Math.max(Math.abs(x), 1e-9), halfY / Math.max(Math.abs(y), 1e-9));
  }
  return before && fit >= before && fit < before * 1.4 ? before : fit;
}

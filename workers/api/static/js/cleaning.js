// What the cleaning of a channel took away, in figures and before and after.

import { html, useMemo } from "../vendor/htm-preact.js";
import { Chart } from "./chart.js";
import { Name } from "./kit.js";
import { number } from "./words.js";

const FEWEST = 30;
const MAD = 0.6745;
// Power that is left, over that of the noise: less is too small a difference of two estimates, which
// are good to a tenth, to be told.
const LEAST_LEFT = 0.1;
const ALL_NOISE = 1.3;

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Mean square of what lies within four robust standard deviations: steps and impulses are no noise.
function powerOf(sizes) {
  const most = (4 * median(sizes)) / MAD;
  const inner = sizes.filter((size) => size <= most);
  return inner.reduce((sum, size) => sum + size * size, 0) / inner.length;
}

const isNumber = (value) => value !== null && Number.isFinite(value);

// Of a column of rows [measured, cleaned, score], in the order of time:
//   noise   standard deviation of the white noise of the readings, from their second differences:
//           those of a signal that is smooth from reading to reading are 0
//   taken   root mean square of measured less cleaned, of the readings below the threshold
//   left    standard deviation of the noise that is left: the cleaning is the best mix of a reading
//           and what the model expects, so what it takes away and what it leaves add up as powers
//   db      noise over left, in decibels; `atLeast` is set where left is too small to be told
// null where too few readings are known.
export function cleaningOf(rows) {
  const second = [];
  const away = [];
  rows.forEach(([measured, cleaned, score], i) => {
    if (!isNumber(measured)) return;
    if (isNumber(cleaned) && !(score >= 1)) away.push(Math.abs(measured - cleaned));
    if (i >= 2 && isNumber(rows[i - 1][0]) && isNumber(rows[i - 2][0])) second.push(Math.abs(measured - 2 * rows[i - 1][0] + rows[i - 2][0]));
  });
  if (second.length < FEWEST || away.length < FEWEST) return null;
  const noise = Math.sqrt(powerOf(second) / 6);
  const taken = Math.sqrt(powerOf(away));
  if (!(noise > 0)) return { noise: 0, taken, left: 0, db: 0, atLeast: false, isMore: taken > 0 };
  const share = 1 - (taken / noise) ** 2;
  const atLeast = share < LEAST_LEFT;
  const left = noise * Math.sqrt(Math.max(share, LEAST_LEFT));
  return { noise, taken, left, db: 20 * Math.log10(noise / left), atLeast, isMore: taken > ALL_NOISE * noise };
}

export function saidOf(found) {
  if (!found) return "too few readings to tell";
  if (!found.noise) return found.isMore ? `took away ±${number(found.taken, 2)}, though no noise is seen` : "no noise to take away";
  if (found.isMore) return `took away ±${number(found.taken, 2)}, more than the noise of ±${number(found.noise, 2)}`;
  const [below, least] = found.atLeast ? ["below ", "at least "] : ["", ""];
  return `noise ±${number(found.noise, 2)}, then ${below}±${number(found.left, 2)}: ${least}${number(found.db, 2)} dB less`;
}

const range = (columns) => {
  let [low, high] = [Infinity, -Infinity];
  for (const column of columns) for (const value of column) if (isNumber(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low <= high ? [low, high] : null;
};

// One channel before and after, on one scale, and what was taken away. columns: x, low, high, measured, cleaned.
export function BeforeAfter({ name, columns, flags }) {
  const [x, , , measured, cleaned] = columns;
  const parts = useMemo(() => {
    const none = x.map(() => null);
    const difference = x.map((_, i) => (isNumber(measured[i]) && isNumber(cleaned[i]) ? measured[i] - cleaned[i] : null));
    const most = Math.max(...(range([difference]) ?? [1]).map(Math.abs));
    return { before: [x, none, none, measured, none], after: [x, none, none, measured, cleaned], difference: [x, difference], y: range([measured, cleaned]), most: [-most, most] };
  }, [columns]);
  const shared = { flags, sync: "sensor", y: parts.y, height: 128 };
  return html`<div class="compare">
    <figure><figcaption>Before: measured</figcaption><${Chart} kind="channel" data=${parts.before} ...${shared} label=${`${name} as it was measured, by time.`} /></figure>
    <figure><figcaption>After: cleaned</figcaption><${Chart} kind="after" data=${parts.after} ...${shared} label=${`${name} as the model cleaned it, by time, on the same scale.`} /></figure>
    <figure class="wide"><figcaption>Taken away: measured less cleaned</figcaption><${Chart} kind="difference" data=${parts.difference} flags=${flags} sync="sensor" y=${parts.most} height=${96} label=${`What was taken away from ${name}, by time.`} /></figure>
  </div>`;
}

// found: of each channel that is shown, its name and `cleaningOf`.
export function Cleaned({ found }) {
  return html`<section class="card" aria-label="What the cleaning took away"><header><h2>What the cleaning took away</h2></header><div class="body">
    <dl class="cleaned">${found.map(({ name, cleaning }) => html`<dt key=${`${name} name`}><${Name}>${name}<//></dt><dd key=${`${name} says`}>${saidOf(cleaning)}</dd>`)}</dl>
    <p class="muted small">Estimated from the readings that are shown: the noise from how each differs from its two neighbours, what is left from what was taken away below the threshold.</p></div></section>`;
}

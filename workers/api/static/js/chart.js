// Charts by uPlot. It sets styles by the object model, which the content security policy allows.

import uPlot from "../vendor/uPlot.esm.js";
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { colours, useRedraw } from "./kit.js";
import { time } from "./words.js";

const NAMES = ["muted", "chart-grid", "chart-measured", "chart-faint", "chart-cleaned", "chart-band", "chart-flag", "chart-threshold", "line-strong"];
const FONT = "12px system-ui, sans-serif";

function axes(of, kind) {
  const one = { font: FONT, stroke: of.muted, grid: { stroke: of["chart-grid"], width: 1 }, ticks: { stroke: of["chart-grid"], width: 1, size: 4 } };
  return [{ ...one, space: 90, size: 26, values: clocks }, { ...one, size: 58, space: kind === "difference" ? 13 : 26 }];
}

// Times of the ticks, without seconds where all are whole minutes.
function clocks(_plot, splits) {
  const seconds = splits.some((at) => at % 60);
  return splits.map((at) => time(at * 1000, { withDay: "never", seconds }).split(", ").at(-1));
}

// Shades the stretches of `flags` ([from, to] in seconds), and draws the threshold.
function marks(state) {
  return {
    hooks: {
      drawClear: [(plot) => {
        const { ctx: to, bbox } = plot;
        to.save();
        to.fillStyle = state.of["chart-flag"];
        for (const [from, until] of state.flags) {
          const left = Math.max(plot.valToPos(from, "x", true), bbox.left);
          const right = Math.min(plot.valToPos(until, "x", true), bbox.left + bbox.width);
          if (right >= left) to.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
        }
        to.restore();
      }],
      draw: [(plot) => {
        if (state.threshold === undefined) return;
        const { ctx: to, bbox } = plot;
        const y = plot.valToPos(state.threshold, "y", true);
        to.save();
        to.strokeStyle = state.of["chart-threshold"];
        to.fillStyle = state.of["chart-threshold"];
        to.lineWidth = 1.5 * devicePixelRatio;
        to.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        to.beginPath();
        to.moveTo(bbox.left, y);
        to.lineTo(bbox.left + bbox.width, y);
        to.stroke();
        to.restore();
      }],
    },
  };
}

function seriesOf(kind, of) {
  const line = (label, stroke, width, more = {}) => ({ label, stroke, width, points: { show: false }, spanGaps: false, ...more });
  const none = "rgba(0,0,0,0)";
  if (kind === "score") return { series: [{}, line("score", of["chart-cleaned"], 1.5)] };
  if (kind === "difference") return { series: [{}, line("taken away", of["chart-measured"], 1.1)] };
  if (kind === "excerpt")
    return { series: [{}, line("expected", of["chart-cleaned"], 2), line("measured", of["chart-measured"], 1.5, { points: { show: true, size: 6 } })] };
  const cleaned = line("cleaned", of["chart-cleaned"], kind === "after" ? 2.4 : 1.9);
  return {
    series: [{}, line("low", none, 0), line("high", none, 0), line("measured", of[kind === "after" ? "chart-faint" : "chart-measured"], 1.1), cleaned],
    bands: [{ series: [2, 1], fill: of["chart-band"] }],
  };
}

// given: () => the extremes to show, null for those of the data.
function rangeOf(kind, given) {
  if (kind !== "score") return (_plot, lowest, highest) => {
    const [low, high] = given() ?? [lowest, highest];
    if (low == null || high == null) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  };
  return (_plot, _low, high) => [0, Math.max(1.3, (high || 0) * 1.08)];
}

// kind: "channel" and "after" (data: x, low, high, measured, cleaned; "after" has the measured ones
// faint), "score" (x, score), "difference" (x, values), "excerpt". y: extremes to show.
export function Chart({ kind, data, flags = [], threshold, height = 130, range, y, label, sync }) {
  const box = useRef(null);
  const plot = useRef(null);
  const state = useRef({ flags: [], of: {} });
  const drawn = useRef({});

  function make() {
    if (!box.current) return;
    if (plot.current) plot.current.destroy();
    const of = colours(...NAMES);
    Object.assign(state.current, { of, flags, threshold });
    plot.current = new uPlot({
      width: Math.max(box.current.clientWidth, 100),
      height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, ...(sync ? { sync: { key: sync } } : {}) },
      scales: { x: { time: true, range: range ? (() => latestRange(drawn.current)) : undefined }, y: { range: rangeOf(kind, () => drawn.current.y) } },
      axes: axes(of, kind),
      plugins: [marks(state.current)],
      ...seriesOf(kind, of),
    }, data, box.current);
  }

  drawn.current = { range, data, y };
  useEffect(() => {
    make();
    return () => {
      if (plot.current) plot.current.destroy();
      plot.current = null;
    };
  }, [kind, height, sync]);
  useRedraw(box, () => {
    if (!box.current || !plot.current) return;
    const width = Math.max(box.current.clientWidth, 100);
    if (colours("muted").muted !== state.current.of.muted) make();
    else if (width !== plot.current.width) plot.current.setSize({ width, height });
  });
  useEffect(() => {
    if (!plot.current) return;
    Object.assign(state.current, { flags, threshold });
    plot.current.setData(data);
  }, [data, flags, threshold, range]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

function latestRange({ range, data }) {
  if (range) return range;
  const x = data[0];
  return x.length ? [x[0], x[x.length - 1]] : [0, 1];
}

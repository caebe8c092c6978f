// The heat strip: a row for each sensor, a cell for each stretch of time, on one canvas that shows
// only the rows in sight; the names beside it are links, and only those in sight exist.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { Name, Score, colours, useRedraw } from "./kit.js";
import { pathOf } from "./api.js";
import { score as scoreText, severityOf, time } from "./words.js";

const ROW = 22;
const GAP = 3;
const SPARE = 6;
const BELOW = [0.25, 0.5, 0.75, 1];
export const NAMES = ["cell-none", "cell-0", "cell-1", "cell-2", "cell-3", "cell-low", "cell-medium", "cell-high", "cell-mark", "cell-mark-high", "muted", "line", "surface"];

export function cellColour(score, of) {
  if (Number.isNaN(score)) return of["cell-none"];
  const severity = severityOf(score);
  if (severity) return of[`cell-${severity}`];
  return of[`cell-${BELOW.findIndex((limit) => score < limit)}`];
}

// Colour, and above the threshold a mark: one, two, three strokes for low, medium, high.
export function drawCell(to, score, x, y, width, height, of) {
  to.fillStyle = cellColour(score, of);
  to.fillRect(x, y, width, height);
  const severity = severityOf(score);
  if (!severity) return;
  const strokes = { low: 1, medium: 2, high: 3 }[severity];
  to.fillStyle = severity === "high" ? of["cell-mark-high"] : of["cell-mark"];
  const inset = width > 5 ? 1 : 0;
  for (let i = 0; i < strokes; i += 1) {
    const at = y + height / 2 + (i - (strokes - 1) / 2) * 4.5;
    to.fillRect(x + inset, Math.round(at - 0.75), Math.max(width - 2 * inset, 1), 1.5);
  }
}

export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const to = canvas.getContext("2d");
  to.setTransform(ratio, 0, 0, ratio, 0, 0);
  to.clearRect(0, 0, width, height);
  return to;
}

function drawAxis(canvas, data) {
  const width = canvas.clientWidth;
  if (!width) return;
  const of = colours(...NAMES);
  const to = sized(canvas, width, 18);
  to.font = "12px system-ui, sans-serif";
  to.fillStyle = of.muted;
  to.textBaseline = "middle";
  const ticks = Math.max(2, Math.min(8, Math.floor(width / 130)));
  for (let i = 0; i <= ticks; i += 1) {
    const cell = Math.round((i / ticks) * data.cells);
    const text = time(data.timeOf(cell), { withDay: "never", seconds: data.step < 60 }).split(", ").at(-1);
    const x = (cell / data.cells) * width;
    to.textAlign = i === 0 ? "left" : i === ticks ? "right" : "center";
    to.fillText(text, x, 9);
  }
}

export function Strip({ data, rows, version, onRead, onHold }) {
  const box = useRef(null);
  const canvas = useRef(null);
  const axis = useRef(null);
  const track = useRef(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(500);
  const [current, setCurrent] = useState(0);
  const focusNext = useRef(null); // the row that gets the focus as soon as it exists
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + SPARE);
  const visible = rows.slice(first, last);
  const active = Math.min(current, Math.max(rows.length - 1, 0));

  function draw() {
    if (!canvas.current || !track.current || !box.current) return;
    drawAxis(axis.current, data);
    const at = track.current.getBoundingClientRect();
    const frame = box.current.getBoundingClientRect();
    const to = sized(canvas.current, at.width, box.current.clientHeight);
    canvas.current.style.left = `${at.left - frame.left}px`;
    const of = colours(...NAMES);
    const offset = box.current.scrollTop;
    const from = Math.max(0, Math.floor(offset / ROW));
    const until = Math.min(rows.length, Math.ceil((offset + box.current.clientHeight) / ROW));
    const step = at.width / data.cells;
    const gap = step > 5 ? 1 : 0;
    for (let row = from; row < until; row += 1) {
      const y = row * ROW - offset + GAP;
      const scores = rows[row].scores;
      for (let cell = 0; cell < scores.length; cell += 1) {
        const x = Math.round(cell * step);
        drawCell(to, scores[cell], x, y, Math.max(Math.round((cell + 1) * step) - x - gap, 1), ROW - 2 * GAP, of);
      }
    }
  }

  useRedraw(box, () => {
    if (box.current) setHeight(box.current.clientHeight);
    draw();
  });
  useLayoutEffect(draw, [data, rows, version, top, height]);
  useEffect(() => {
    if (focusNext.current === null) return;
    const link = box.current.querySelector(`[data-row="${focusNext.current}"]`);
    if (!link) return;
    focusNext.current = null;
    link.focus();
  });

  function go(to) {
    const next = Math.min(Math.max(to, 0), rows.length - 1);
    const y = next * ROW;
    if (y < box.current.scrollTop) box.current.scrollTop = y;
    if (y + ROW > box.current.scrollTop + box.current.clientHeight) box.current.scrollTop = y + ROW - box.current.clientHeight;
    setTop(box.current.scrollTop);
    focusNext.current = next;
    setCurrent(next);
  }

  function onKey(event) {
    const page = Math.max(1, Math.floor(height / ROW) - 1);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  }

  function onPoint(event) {
    const at = track.current.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.current.getBoundingClientRect().top + box.current.scrollTop) / ROW);
    const cell = Math.floor(((event.clientX - at.left) / at.width) * data.cells);
    if (row < 0 || row >= rows.length || cell < 0 || cell >= data.cells) onRead(null);
    else onRead({ sensor: rows[row], cell });
  }

  return html`<div onMouseEnter=${() => onHold(true)} onMouseLeave=${() => { onHold(false); onRead(null); }}
      onFocusCapture=${() => onHold(true)} onBlurCapture=${() => onHold(false)}>
    <div class="strip-head" aria-hidden="true">
      <span>Sensor, worst first</span><canvas ref=${axis}></canvas><span class="num">Now</span><span class="num">Highest</span>
    </div>
    <div class="strip-scroll" ref=${box} onScroll=${(event) => setTop(event.currentTarget.scrollTop)} onMouseMove=${onPoint} onKeyDown=${onKey}
      tabindex="-1">
      <div class="strip-canvas"><canvas ref=${canvas} role="img" aria-label=${`Scores of ${rows.length} sensors by time; the same as a table below.`}></canvas></div>
      <div class="strip-row measure" aria-hidden="true"><span></span><span ref=${track}></span><span></span><span></span></div>
      <ul class="strip-list" style=${{ height: `${rows.length * ROW}px` }} aria-label="Sensors, the highest score first">
        ${visible.map((sensor, i) => {
          const row = first + i;
          const where = Object.values(sensor.labels)[0];
          const says = `${sensor.id}: score ${scoreText(sensor.score)} now, highest ${scoreText(sensor.worst)}${sensor.score >= 1 ? ", above the threshold" : ""}`;
          return html`<li key=${sensor.id}><a class="strip-row" href=${pathOf.sensor(sensor.id)} data-row=${row} aria-label=${says}
              tabindex=${row === active ? 0 : -1} style=${{ top: `${row * ROW}px` }} onFocus=${() => setCurrent(row)}>
            <span class="name"><${Name}>${sensor.id}<//>${where ? html`<span class="where"><${Name}>${where}<//></span>` : ""}</span>
            <span></span>
            <span class="num"><${Score} value=${sensor.score} /></span>
            <span class="num"><${Score} value=${sensor.worst} /></span>
          </a></li>`;
        })}
      </ul>
    </div>
  </div>`;
}

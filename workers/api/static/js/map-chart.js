// The map as SVG: its colours are those of the style sheet, its marks are links. What marks mean is
// told by their shape as well as by their colour.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { pathOf } from "./api.js";
import { useRedraw } from "./kit.js";
import { RINGS, distanceOf, scaleOf, squeezed } from "./map-data.js";
import { number, score, time } from "./words.js";

const NAMED = 6;

// The shape of a state, around the origin.
export function Shape({ state }) {
  if (state === "low") return html`<path class="mark low" d="M0 -8L8 0L0 8L-8 0Z" />`;
  if (state === "medium") return html`<path class="mark medium" d="M0 -8.5L8.5 6.5H-8.5Z" />`;
  if (state === "high") return html`<path class="mark high" d="M-7 -7H7V7H-7Z" />`;
  return html`<circle class=${`mark ${state}`} r=${state === "silent" ? 4.5 : 5} />`;
}

export function saysOf(sensor, state) {
  const what = state === "silent" ? "silent" : state === "normal" ? "normal" : `above the threshold, ${state}`;
  return `score ${score(sensor.score)}, ${what}; ${number(distanceOf(sensor), 2)} from the usual state`;
}

function Rings({ width, height, scale }) {
  const found = RINGS.filter((ring) => Math.asinh(ring) * scale < Math.hypot(width, height) / 2);
  return html`<g aria-hidden="true"><path class="axis" d=${`M0 ${height / 2}H${width}M${width / 2} 0V${height}`} />
    ${found.map((ring) => html`<circle key=${ring} class=${ring === 3 ? "ring edge" : "ring"} cx=${width / 2} cy=${height / 2} r=${Math.asinh(ring) * scale} />`)}
    ${found.map((ring) => {
      const r = Math.asinh(ring) * scale;
      const at = r < height / 2 - 14 ? [width / 2, height / 2 - r] : [width / 2 + r, height / 2];
      return at[0] < width - 12 ? html`<text key=${ring} class="ring-name" x=${at[0]} y=${at[1] + 4}>${ring}</text>` : "";
    })}
    <text class="axis-name" x="8" y=${height / 2 - 7}>main axis 1</text>
    <text class="axis-name" x=${width / 2 + 7} y=${height - 8}>main axis 2</text></g>`;
}

// The way of a sensor: the older, the fainter; a dot where it was above the threshold.
function Way({ trail, sensor, xy }) {
  const places = [...trail.way];
  const scores = [...trail.scores];
  const last = places.at(-1);
  if (sensor && sensor.latent && (!last || last[0] !== sensor.latent[0] || last[1] !== sensor.latent[1])) {
    places.push(sensor.latent);
    scores.push(sensor.score);
  }
  const at = places.map(xy);
  const strength = (i) => 0.14 + 0.86 * (i / Math.max(at.length - 1, 1)) ** 2;
  if (!at.length) return "";
  const [x0, y0] = at[0];
  const [x1, y1] = at.at(-1);
  return html`<g class="way" aria-hidden="true">
    ${at.slice(1).map(([x, y], i) => html`<line key=${i} x1=${at[i][0]} y1=${at[i][1]} x2=${x} y2=${y} stroke-opacity=${strength(i + 1)} />`)}
    ${at.map(([x, y], i) => html`<circle key=${i} class=${scores[i] >= 1 ? "stop over" : "stop"} cx=${x} cy=${y} r=${scores[i] >= 1 ? 3 : 2} fill-opacity=${strength(i)} />`)}
    <circle class="newest" cx=${x1} cy=${y1} r="13" />
    ${at.length > 1 && Math.hypot(x1 - x0, y1 - y0) > 40 ? html`<text class="when" x=${x0} y=${y0 - 9}>${time(trail.ts[0], { seconds: false })}</text>` : ""}</g>`;
}

// rows: sensors with a place, those with the highest score first. chosen: one of them or null.
export function MapChart({ data, rows, version, trail, chosen, onRead }) {
  const box = useRef(null);
  const svg = useRef(null);
  const [width, setWidth] = useState(860);
  const [current, setCurrent] = useState(null); // id of the mark that Tab reaches
  const [read, setRead] = useState(null);
  const scale = useRef(0);
  useRedraw(box, () => box.current && setWidth(Math.max(280, box.current.clientWidth)));
  const height = Math.round(Math.min(620, Math.max(360, width * 0.64)));
  const newest = data.newest();
  const places = [...rows.map((one) => one.latent), ...data.normal, ...(trail ? trail.way : [])];
  scale.current = scaleOf(places, width, height, scale.current);
  const xy = (place) => {
    const [x, y] = squeezed(place);
    return [width / 2 + x * scale.current, height / 2 - y * scale.current];
  };
  const tell = (id) => {
    setRead(id);
    onRead(id);
  };
  useEffect(() => {
    scale.current = 0;
  }, [width, data]);

  // Marks stay in one order in the document, or the one that has the focus would lose it.
  const marks = [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
  const active = rows.some((one) => one.id === current) ? current : rows.length ? rows[0].id : null;
  const named = new Set(rows.slice(0, NAMED).filter((one) => one.score >= 1).map((one) => one.id));
  for (const id of [read, chosen && chosen.id]) if (id) named.add(id);

  function onKey(event) {
    const at = rows.findIndex((one) => one.id === active);
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows.length) return;
    event.preventDefault();
    const next = rows[Math.min(Math.max(to, 0), rows.length - 1)].id;
    setCurrent(next);
    [...svg.current.querySelectorAll("a")].find((link) => link.dataset.sensor === next)?.focus();
  }

  return html`<div class="map" ref=${box}><svg ref=${svg} width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" onKeyDown=${onKey}
      aria-label=${`Map of ${rows.length} sensors by their state; the same as a table below.`}>
    <${Rings} width=${width} height=${height} scale=${scale.current} />
    <path class="normal-places" aria-hidden="true" d=${data.normal.map((one) => xy(one).map((n) => n.toFixed(1))).map(([x, y]) => `M${x} ${y}h0`).join("")} />
    ${marks.map((one) => {
      const [x, y] = xy(one.latent);
      const state = data.stateOf(one, newest);
      return html`<a key=${one.id} href=${pathOf.sensor(one.id)} data-sensor=${one.id} aria-label=${`${one.id}: ${saysOf(one, state)}`} tabindex=${one.id === active ? 0 : -1}
          class=${chosen && chosen.id !== one.id && state === "normal" ? "faint" : ""} transform=${`translate(${x.toFixed(1)} ${y.toFixed(1)})`}
          onMouseEnter=${() => tell(one.id)} onMouseLeave=${() => tell(null)} onFocus=${() => { setCurrent(one.id); tell(one.id); }} onBlur=${() => tell(null)}>
        <circle class="hit" r="11" /><${Shape} state=${state} /></a>`;
    })}
    ${trail ? html`<${Way} trail=${trail} sensor=${chosen} xy=${xy} />` : ""}
    ${rows.filter((one) => named.has(one.id)).map((one) => {
      const [x, y] = xy(one.latent);
      const isLeft = x > width - 140;
      return html`<text key=${one.id} class="mark-name" aria-hidden="true" x=${x + (isLeft ? -20 : 20)} y=${y + 4} text-anchor=${isLeft ? "end" : "start"}>${one.id}</text>`;
    })}
  </svg></div>`;
}

// `/map`: all sensors by their state, and the way of one of them.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { follow, get, pathOf } from "./api.js";
import { fitting, labelChoices } from "./fleet-data.js";
import { Filters, Labels, Name, Notice, Score, useTitle } from "./kit.js";
import { MapChart, Shape, saysOf } from "./map-chart.js";
import { MapData, distanceOf } from "./map-data.js";
import { count, lasting, number, some, time } from "./words.js";

const MOST = 2000;
const ROWS_OF_TABLE = 200;
const FARTHEST = 8;
const TRAIL_EVERY_MS = 5000;
const STATES = [["normal", "normal"], ["low", "score 1 to 2, low"], ["medium", "2 to 4, medium"], ["high", "4 and more, high"], ["silent", "no reading for 5 minutes"]];

function useMap() {
  const [data, setData] = useState(null);
  const [error, setError] = useState("");
  const [version, setVersion] = useState(0);
  useEffect(() => {
    let stop = () => {};
    let over = false;
    async function begin() {
      stop();
      try {
        const found = new MapData(await get("/v1/map"));
        if (over) return;
        setData(found);
        setError("");
        stop = follow("/v1/live?fleet=60", {
          from: found.place,
          onEvent: (type, event) => {
            if (type === "reset" || (type === "fleet" && found.apply(event))) begin();
            else if (type === "fleet") setVersion((before) => before + 1);
          },
        });
      } catch (problem) {
        if (!over) setError(problem.message);
      }
    }
    begin();
    return () => {
      over = true;
      stop();
    };
  }, []);
  return { data, error, version };
}

// The way of a sensor, asked for again now and then; the newest place comes with the fleet.
function useTrail(id) {
  const [trail, setTrail] = useState(null);
  const [error, setError] = useState("");
  useEffect(() => {
    setTrail(null);
    setError("");
    if (!id) return undefined;
    let over = false;
    const again = () => get(pathOf.apiMap(id)).then((found) => over || setTrail(found), (problem) => over || setError(problem.message));
    again();
    const timer = setInterval(again, TRAIL_EVERY_MS);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [id]);
  return { trail: trail && trail.sensor_id === id ? trail : null, error };
}

// The address says whose way is shown; a choice is no step to go back over.
function choose(id) {
  history.replaceState(null, "", pathOf.map(id));
  dispatchEvent(new PopStateEvent("popstate"));
}

const Legend = () => html`<p class="legend"><b>Score now</b>
  ${STATES.map(([state, text]) => html`<span key=${state}><svg width="20" height="20" viewBox="-10 -10 20 20" aria-hidden="true"><${Shape} state=${state} /></svg>${text}</span>`)}
  <span><svg width="20" height="20" viewBox="-10 -10 20 20" aria-hidden="true"><path class="normal-places" d="M-5 3h0M1 -4h0M5 4h0" /></svg>normal before</span></p>`;

function Reading({ sensor, data }) {
  if (!sensor) return html`<span>Point at a mark to read it. Arrow keys go through the sensors, worst first; Enter or a click opens one.</span>`;
  return html`<span><b><${Name}>${sensor.id}<//></b>: ${saysOf(sensor, data.stateOf(sensor, data.newest()))}</span>`;
}

function WayCard({ data, rows, chosen, sensor, trail, error }) {
  const names = rows.map((one) => one.id).sort();
  if (chosen && !names.includes(chosen)) names.unshift(chosen);
  return html`<section class="card" aria-label="Way of one sensor"><header><h2>The way of one sensor</h2></header><div class="body stack">
    <label class="field">Sensor<select value=${chosen} onChange=${(event) => choose(event.currentTarget.value)}>
      <option value="">none</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    ${error ? html`<p class="error" role="alert">${error}</p>` : ""}
    ${sensor ? html`<p>${saysOf(sensor, data.stateOf(sensor, data.newest()))}.</p>` : ""}
    ${trail && trail.ts.length ? html`<p class="muted small">Its way began ${lasting(trail.ts.at(-1) - trail.ts[0])} ago, at ${time(trail.ts[0], { seconds: false })}: the older, the fainter. Its state now is ringed.</p>` : ""}
    ${trail && !trail.ts.length ? html`<p class="muted small">No place of it is known yet.</p>` : ""}
    ${chosen ? html`<p class="actions"><a class="button" href=${pathOf.sensor(chosen)}>Open the sensor</a><button type="button" class="plain" onClick=${() => choose("")}>Show no way</button></p>`
      : html`<p class="muted small">Choose one to see how its state went through the map of late.</p>`}
  </div></section>`;
}

function Farthest({ rows, chosen }) {
  const found = [...rows].sort((a, b) => distanceOf(b) - distanceOf(a)).slice(0, FARTHEST);
  return html`<section class="card" aria-label="Farthest from the usual state"><header><h2>Farthest from usual</h2></header><div class="body">
    <ul class="farthest">${found.map((one) => html`<li key=${one.id}><a href=${pathOf.sensor(one.id)}><${Name}>${one.id}<//></a>
      <span class="num">${number(distanceOf(one), 2)}</span>
      <button type="button" aria-pressed=${String(chosen === one.id)} onClick=${() => choose(chosen === one.id ? "" : one.id)}>Way<span class="hidden"> of ${one.id}</span></button></li>`)}</ul></div></section>`;
}

function Table({ rows }) {
  return html`<details><summary>The same as a table</summary><div class="scroll"><table>
    <caption>${rows.length > ROWS_OF_TABLE ? `The first ${ROWS_OF_TABLE} of ${count(rows.length)} sensors; filter to see others.` : `${some(rows.length, "sensor")}, the highest score first.`} Distance and places are in standard deviations of normal windows.</caption>
    <thead><tr><th scope="col">Sensor</th><th scope="col">Labels</th><th scope="col" class="num">Score now</th><th scope="col" class="num">From usual</th><th scope="col" class="num">Axis 1</th><th scope="col" class="num">Axis 2</th><th scope="col">Last reading</th></tr></thead>
    <tbody>${rows.slice(0, ROWS_OF_TABLE).map((one) => html`<tr key=${one.id}>
      <td><a href=${pathOf.sensor(one.id)}><${Name}>${one.id}<//></a></td><td><${Labels} of=${one.labels} /></td><td class="num"><${Score} value=${one.score} /></td>
      <td class="num">${number(distanceOf(one), 2)}</td><td class="num">${number(one.latent[0], 2)}</td><td class="num">${number(one.latent[1], 2)}</td><td>${time(one.last)}</td></tr>`)}
    </tbody></table></div></details>`;
}

const NO_MAP = "The readings that are scored say no place: the model was trained before models had a map. Train it again, and the sensors appear here.";

export function FleetMap({ chosen }) {
  useTitle(chosen ? `${chosen} on the map` : "Map");
  const [words, setWords] = useState("");
  const [label, setLabel] = useState("");
  const [read, setRead] = useState(null);
  const { data, error, version } = useMap();
  const { trail, error: trailError } = useTrail(chosen);
  const placed = useMemo(() => (data ? [...data.sensors.values()].filter((one) => one.latent) : []), [data, version]);
  const rows = useMemo(() => {
    const key = (one) => (one.score === null ? -1 : one.score);
    return fitting(placed, words, label).sort((a, b) => key(b) - key(a) || (a.id < b.id ? -1 : 1));
  }, [placed, words, label]);
  const choices = useMemo(() => (data ? labelChoices(data.sensors.values()) : []), [data]);
  const sensor = data && chosen ? data.sensors.get(chosen) : null;
  const onMap = sensor && sensor.latent && !rows.slice(0, MOST).includes(sensor) ? [...rows.slice(0, MOST), sensor] : rows.slice(0, MOST);
  const away = placed.filter((one) => distanceOf(one) > 3).length;
  return html`<div>
    <div class="head"><div><h1>Map</h1>${data && placed.length ? html`<p class="lead"><b>${some(placed.length, "sensor")}</b> by the state that the model sees them in,
      ${" "}<b>${away === 0 ? "none" : count(away)}</b> farther than 3 from the usual one. What lies together is in a like state. The rings are distances from the usual state, in standard deviations of normal readings.</p>` : ""}</div>
      <div class="tools"><${Filters} words=${words} label=${label} choices=${choices} onWords=${setWords} onLabel=${setLabel} /></div></div>
    ${error ? html`<${Notice}>${error}<//>` : ""}
    ${data && !data.following.is_following ? html`<${Notice}>What is shown is not up to date: ${data.following.said}.<//>` : ""}
    ${rows.length > MOST ? html`<${Notice}>The ${count(MOST)} sensors with the highest scores are drawn; filter to see others.<//>` : ""}
    ${data && placed.length ? html`<div class="columns"><div class="stack"><section class="card" aria-label="Map of the sensors">
        <div class="strip-foot"><${Legend} /></div>
        ${onMap.length ? html`<${MapChart} data=${data} rows=${onMap} version=${version} trail=${trail} chosen=${sensor && sensor.latent ? sensor : null} onRead=${setRead} />` : html`<p class="empty">No sensor fits the filter.</p>`}
        <div class="strip-foot"><${Reading} sensor=${read && data.sensors.get(read)} data=${data} /></div>
      </section><${Table} rows=${rows} /></div>
      <aside class="stack"><${WayCard} data=${data} rows=${rows} chosen=${chosen} sensor=${sensor} trail=${trail} error=${trailError} />
        <${Farthest} rows=${rows} chosen=${chosen} /></aside></div>`
      : data ? html`<section class="card"><p class="empty">${data.sensors.size ? NO_MAP : "No readings yet. As soon as vigie run scores some, the sensors appear here."}</p></section>`
        : error ? "" : html`<p class="empty">Loading the map…</p>`}
  </div>`;
}

// `/`: all sensors by time.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { follow, get, pathOf } from "./api.js";
import { FleetData, labelChoices } from "./fleet-data.js";
import { Choice, Filters, Labels, Name, Notice, Score, colours, useNow, useRedraw, useTitle } from "./kit.js";
import { NAMES, Strip, drawCell, sized } from "./strip.js";
import { count, lasting, score, severityOf, some, time } from "./words.js";

const STEPS = [[10, "15 min"], [60, "2 hours"], [300, "Day"]];
const CELLS = { 10: 90, 60: 120, 300: 288 };
const WINDOW = { 10: "15 minutes", 60: "2 hours", 300: "24 hours" };
// What has run for some minutes would be a few cells at the edge of two hours.
const YOUNG_CELLS = 15;
const RANK_EVERY_MS = 3000;
const ROWS_OF_TABLE = 200;

async function fleetOf(step) {
  return new FleetData(await get(`/v1/fleet?step=${step}&cells=${CELLS[step]}`));
}

// The step that somebody chose; null takes the one that fits what there is.
function useFleet(chosen) {
  const [data, setData] = useState(null);
  const [error, setError] = useState("");
  const [version, setVersion] = useState(0);
  useEffect(() => {
    let stop = () => {};
    let over = false;
    async function begin() {
      stop();
      try {
        let found = await fleetOf(chosen ?? 60);
        if (chosen === null && found.filled() <= YOUNG_CELLS) found = await fleetOf(10);
        if (over) return;
        setData(found);
        setError("");
        stop = follow(`/v1/live?fleet=${found.step}`, {
          from: found.place,
          onEvent: (type, event) => {
            if (type === "reset") begin();
            else if (type === "fleet") {
              if (found.apply(event)) begin();
              else setVersion((before) => before + 1);
            }
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
  }, [chosen]);
  return { data, error, version };
}

function Swatch({ value }) {
  const canvas = useRef(null);
  useRedraw(canvas, () => canvas.current && drawCell(sized(canvas.current, 26, 14), value, 0, 0, 26, 14, colours(...NAMES)));
  return html`<canvas ref=${canvas} aria-hidden="true"></canvas>`;
}

const Legend = () => html`<p class="legend"><b>Highest score of each cell</b>
  <span><${Swatch} value=${NaN} />no reading</span>
  <span><${Swatch} value=${0.1} /><${Swatch} value=${0.6} /><${Swatch} value=${0.9} />below 1.0, normal</span>
  <span><${Swatch} value=${1.5} />1 to 2, low</span>
  <span><${Swatch} value=${3} />2 to 4, medium</span>
  <span><${Swatch} value=${5} />4 and more, high</span>
</p>`;

function Said({ data }) {
  const all = [...data.sensors.values()];
  const now = all.filter((one) => one.score >= 1).length;
  const lately = all.filter((one) => one.worst >= 1).length;
  return html`<p class="lead"><b>${some(all.length, "sensor")}</b>, <b>${now === 0 ? "none" : count(now)}</b> above the threshold now,${" "}
    <b>${lately === 0 ? "none" : count(lately)}</b> within the last ${WINDOW[data.step]}.${" "}
    A score says how unusual a reading is: 1.0 is the threshold, most readings lie far below it.</p>`;
}

function Table({ rows }) {
  return html`<details><summary>The same as a table</summary><div class="scroll"><table>
    <caption>${rows.length > ROWS_OF_TABLE ? `The first ${ROWS_OF_TABLE} of ${count(rows.length)} sensors; filter to see others.` : `${some(rows.length, "sensor")}, the highest score first.`}</caption>
    <thead><tr><th scope="col">Sensor</th><th scope="col">Labels</th><th scope="col" class="num">Score now</th><th scope="col" class="num">Highest</th><th scope="col">Last reading</th></tr></thead>
    <tbody>${rows.slice(0, ROWS_OF_TABLE).map((one) => html`<tr key=${one.id}>
      <td><a href=${pathOf.sensor(one.id)}><${Name}>${one.id}<//></a></td><td><${Labels} of=${one.labels} /></td>
      <td class="num"><${Score} value=${one.score} /></td><td class="num"><${Score} value=${one.worst} /></td><td>${time(one.last)}</td></tr>`)}
    </tbody></table></div></details>`;
}

function Reading({ read, data }) {
  if (!read) return html`<span>Point at a cell to read it. Arrow keys move through the sensors, Enter opens one.</span>`;
  const value = read.sensor.scores[read.cell];
  const from = data.timeOf(read.cell);
  const severity = severityOf(value);
  return html`<span><b><${Name}>${read.sensor.id}<//></b>, ${time(from, { seconds: data.step < 60 })} for ${lasting(data.step * 1000)}:${" "}
    ${Number.isNaN(value) ? "no reading" : `highest score ${score(value)}${severity ? `, above the threshold (${severity})` : ", normal"}`}</span>`;
}

export function Fleet() {
  useTitle("Fleet");
  const [chosen, setChosen] = useState(null);
  const [words, setWords] = useState("");
  const [label, setLabel] = useState("");
  const [read, setRead] = useState(null);
  const held = useRef(false);
  const { data, error, version } = useFleet(chosen);
  const now = useNow(RANK_EVERY_MS);
  const ranked = useRef({ at: 0, key: "", rows: [] });
  const rows = useMemo(() => {
    if (!data) return [];
    const key = `${data.place}|${words}|${label}`;
    const before = ranked.current;
    // Rows stay where they are while somebody points at them or walks through them.
    const isDue = Date.now() - before.at > RANK_EVERY_MS && !held.current;
    if (before.key !== key || isDue) ranked.current = { at: Date.now(), key, rows: data.worstFirst(words, label) };
    return ranked.current.rows;
  }, [data, version, words, label, now]);
  const choices = useMemo(() => (data ? labelChoices(data.sensors.values()) : []), [data]);

  return html`<div>
    <div class="head"><div><h1>Fleet</h1>${data ? html`<${Said} data=${data} />` : ""}</div>
      <div class="tools">
        <${Filters} words=${words} label=${label} choices=${choices} onWords=${setWords} onLabel=${setLabel} />
        <${Choice} label="Time shown" options=${STEPS} value=${chosen ?? (data ? data.step : 60)} onChange=${setChosen} />
      </div>
    </div>
    ${error ? html`<${Notice}>${error}<//>` : ""}
    ${data && !data.following.is_following ? html`<${Notice}>What is shown is not up to date: ${data.following.said}.<//>` : ""}
    ${data ? html`<section class="card" aria-label="Scores by sensor and time">
      <div class="strip-foot"><${Legend} /></div>
      ${rows.length ? html`<${Strip} data=${data} rows=${rows} version=${version} onRead=${setRead} onHold=${(holds) => { held.current = holds; }} />`
        : html`<p class="empty">${data.sensors.size ? "No sensor fits the filter." : "No readings yet. As soon as vigie run scores some, the sensors appear here."}</p>`}
      <div class="strip-foot"><${Reading} read=${read} data=${data} /><span>${data.sensors.size ? `newest reading ${time(data.newest())}` : ""}</span></div>
    </section><${Table} rows=${rows} />` : error ? "" : html`<p class="empty">Loading the fleet…</p>`}
  </div>`;
}

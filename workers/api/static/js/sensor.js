// `/sensors/{id}`: one sensor, live and for the last day.

import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { follow, get, pathOf } from "./api.js";
import { Chart } from "./chart.js";
import { BeforeAfter, Cleaned, cleaningOf, saidOf } from "./cleaning.js";
import { IncidentTable } from "./incidents.js";
import { Choice, Labels, Name, Notice, reducedMotion, useTitle } from "./kit.js";
import { SensorData, flagsOf } from "./sensor-data.js";
import { ago, number, percent, score, severityOf, some, time } from "./words.js";

const SPANS = [["live", "Live"], ["day", "Last day"]];
const WAYS = [["together", "Together"], ["apart", "Before and after"]];
const SHOWN = 6;
const TABLE = 30;

const Keys = ({ span }) => html`<p class="keys">${span === "live" ? html`<span class="k-measured">measured</span>` : ""}<span class="k-cleaned">cleaned by the model</span>
  <span class="k-band">${span === "live" ? "usual range" : "lowest to highest measured"}</span><span class="k-flag">above the threshold</span></p>`;

function Bars({ shares }) {
  if (!shares.length) return html`<p class="muted">No reading that is shown was above the threshold.</p>`;
  return html`<ul class="bars" aria-label="Share of each channel in the scores above the threshold">${shares.map((one) => html`<li key=${one.channel}>
    <span class="label" title=${one.channel}><${Name}>${one.channel}<//></span>
    <span class="track" aria-hidden="true"><span class="fill" style=${{ display: "block", width: `${Math.max(0, Math.min(1, one.share)) * 100}%` }}></span></span>
    <span class="num">${percent(one.share)}</span></li>`)}</ul>`;
}

function useSensor(id, paused) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const [version, setVersion] = useState(0);
  useEffect(() => {
    if (paused && found) return undefined;
    let stop = () => {};
    let over = false;
    async function begin() {
      stop();
      try {
        const document = await get(pathOf.apiSensor(id));
        if (over) return;
        const data = new SensorData(document);
        setFound({ document, data });
        setError("");
        if (paused) return;
        stop = follow(`/v1/live?sensor=${encodeURIComponent(id)}`, {
          from: document.place,
          onEvent: (type, event) => {
            if (type === "reset" || (type === "rows" && !data.apply(event))) begin();
            else if (type === "rows") setVersion((before) => before + 1);
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
  }, [id, paused]);
  return { found, error, version };
}

// The last day looks like the live rows: low and high of the measured ones are the band.
function dayColumns(day, at) {
  const x = day.ts.map((ts) => ts / 1000);
  return [x, day.low[at], day.high[at], x.map(() => null), day.cleaned[at]];
}

function RowsTable({ data }) {
  const times = data.times().slice(-TABLE).reverse();
  return html`<details><summary>The same as a table</summary><div class="scroll"><table>
    <caption>The last ${times.length} readings, the newest first: measured, and cleaned behind the slash.</caption>
    <thead><tr><th scope="col">Time</th><th scope="col" class="num">Score</th>${data.channels.map((name) => html`<th scope="col" class="num" key=${name}><${Name}>${name}<//></th>`)}</tr></thead>
    <tbody>${times.map((ts) => {
      const row = data.rows.get(ts);
      return html`<tr key=${ts}><td>${time(ts)}</td><td class="num">${score(row.score)}</td>${data.channels.map((name, at) => html`<td class="num" key=${name}>
        ${number(row.measured ? row.measured[at] : null)} / ${number(row.cleaned ? row.cleaned[at] : null)}</td>`)}</tr>`;
    })}</tbody></table></div></details>`;
}

function Said({ data, used }) {
  const severity = severityOf(data.score);
  return html`<p class="lead">The last reading came <b><time datetime=${new Date(data.last || 0).toISOString()}>${ago(data.last)}</time></b>. Its score is <b>${score(data.score)}</b>: ${
    severity ? html`<b>above the threshold</b> (${severity}).` : "normal, the threshold is 1.0."}${used ? html` ${some(used.last_week, "incident")} this week; the budget allows ${number(used.allowed_week)} ${used.allowed_week === 1 ? "false one" : "false ones"}.` : ""}</p>`;
}

export function Sensor({ id, store, toast }) {
  useTitle(id);
  const [span, setSpan] = useState("live");
  const [paused, setPaused] = useState(reducedMotion());
  const [all, setAll] = useState(false);
  const [way, setWay] = useState("together");
  const { found, error, version } = useSensor(id, paused);
  const [ours, setOurs] = useState([]);
  const [day, setDay] = useState(null);
  useEffect(() => {
    let over = false;
    get(`/v1/incidents?sensor=${encodeURIComponent(id)}&limit=20`).then((page) => over || setOurs(page.items), () => {});
    return () => {
      over = true;
    };
  }, [id, store.events]);
  useEffect(() => {
    if (span !== "day") return undefined;
    const again = () => get(pathOf.apiSensor(id)).then((document) => setDay(document.day), () => {});
    again();
    const timer = setInterval(again, 60_000);
    return () => clearInterval(timer);
  }, [id, span]);

  const view = useMemo(() => {
    if (!found) return null;
    const { data } = found;
    const shown = span === "day" ? day || found.document.day : null;
    const scores = shown ? [shown.ts.map((ts) => ts / 1000), shown.score] : data.scores();
    const shares = data.contributions(shown ? 0 : data.times()[0] || 0);
    const order = shares.length ? shares.map((one) => one.at) : data.channels.map((_, at) => at);
    const charts = order.slice(0, all ? order.length : SHOWN).map((at) => ({
      at,
      name: data.channels[at],
      columns: shown ? dayColumns(shown, at) : data.channel(at),
      cleaning: cleaningOf(data.both(at)),
    }));
    return { scores, shares, charts, flags: flagsOf(scores), hidden: order.length - charts.length };
  }, [found, version, span, day, all]);

  const isApart = way === "apart" && span === "live";
  const mine = ours.map((one) => store.get(one.id) || one);
  return html`<div>
    <div class="head"><div><p class="small"><a href="/">Fleet</a> / sensor${found && found.data.isOnMap ? html` · <a href=${pathOf.map(id)}>its way on the map</a>` : ""}</p><h1><${Name}>${id}<//></h1>
      ${found ? html`<${Said} data=${found.data} used=${found.document.budget_used} />` : ""}
      ${found ? html`<${Labels} of=${found.document.labels} />` : ""}</div>
      <div class="tools">${span === "live" ? html`<button type="button" aria-pressed=${String(paused)} onClick=${() => setPaused(!paused)}>${paused ? "Go on live" : "Hold still"}</button>` : ""}
        <${Choice} label="Time shown" options=${SPANS} value=${span} onChange=${setSpan} /></div></div>
    ${error ? html`<${Notice}>${error}<//>` : ""}
    ${view ? html`<div class="columns"><div class="stack">
      <section class="card" aria-label="Score"><header><h2>Score</h2><p class="keys"><span class="k-threshold">threshold, 1.0</span><span class="k-flag">above it</span></p></header>
        <div class="body"><${Chart} kind="score" data=${view.scores} flags=${view.flags} threshold=${1} height=${150} sync="sensor"
          label=${`Score by time; ${view.flags.length ? some(view.flags.length, "stretch", "stretches") : "nothing"} above the threshold. The numbers are in the table below.`} /></div></section>
      <section class="card" aria-label="Channels"><header><h2>Channels</h2>
        ${span === "live" ? html`<${Choice} label="How channels are drawn" options=${WAYS} value=${way} onChange=${setWay} />` : ""}</header><div class="body">
        ${isApart ? "" : html`<${Keys} span=${span} />`}
        ${view.charts.map(({ at, name, columns, cleaning }) => {
          const lastOf = (column) => columns[column].findLast((value) => value !== null);
          return html`<div key=${at}><div class="chart-title"><h3><${Name}>${name}<//></h3>
            <span class="value">${span === "day" ? "each 5 minutes" : isApart ? saidOf(cleaning) : html`measured ${number(lastOf(3))}, cleaned ${number(lastOf(4))}`}</span></div>
            ${isApart ? html`<${BeforeAfter} name=${name} columns=${columns} flags=${view.flags} />` : html`<${Chart} kind="channel" data=${columns} flags=${view.flags} height=${118} sync="sensor" label=${`${name} by time: measured, cleaned and the usual band.`} />`}</div>`;
        })}
        ${view.hidden > 0 || all ? html`<button type="button" class="plain" onClick=${() => setAll(!all)}>${all ? "Show fewer channels" : `Show ${some(view.hidden, "more channel", "more channels")}`}</button>` : ""}
        <${RowsTable} data=${found.data} />
      </div></section>
      <section class="card" aria-label="Incidents of this sensor"><header><h2>Incidents of this sensor</h2></header>
        ${mine.length ? html`<${IncidentTable} incidents=${mine} store=${store} toast=${toast} caption="Incidents of this sensor" withSensor=${false} />` : html`<p class="empty">None that the gateway knows.</p>`}</section>
    </div><aside class="stack">
      <section class="card" aria-label="Contribution of each channel"><header><h2>What makes the score</h2></header><div class="body">
        <p class="muted small">Mean share of each channel in the scores above the threshold.</p><${Bars} shares=${view.shares} /></div></section>
      ${span === "live" ? html`<${Cleaned} found=${view.charts} />` : ""}
      <section class="card" aria-label="Elsewhere"><header><h2>Elsewhere</h2></header><div class="body stack">
        <p class="small">Grafana and Prometheus read <a href="/metrics">/metrics</a>. All that is shown here is also JSON: <a href=${`${pathOf.apiSensor(id)}`}>${`/v1/sensors/${id}`}</a>.</p></div></section>
    </aside></div>` : error ? "" : html`<p class="empty">Loading the sensor…</p>`}
  </div>`;
}

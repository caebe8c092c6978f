// `/incidents`: what goes wrong, and who looks after it.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { pathOf } from "./api.js";
import { Actions } from "./actions.js";
import { Choice, Labels, Name, Notice, Severity, State, Unhealthy, useNow, useTitle } from "./kit.js";
import { DIRECTIONS, VERDICTS, count, lasting, percent, score, some, time } from "./words.js";

const STATES = [["", "All"], ["open,acknowledged", "Going on"], ["resolved", "Over"]];
const MAIN = 3;

export const mainChannels = (incident) => (incident.data.channels || []).slice(0, MAIN);

export const Channels = ({ incident }) => html`<ul>${mainChannels(incident).map((one) => html`<li key=${one.channel}>
  <${Name}>${one.channel}<//>${" "}<span class="muted">${DIRECTIONS[one.direction] || one.direction}, ${percent(one.share)}</span></li>`)}</ul>`;

export function Who({ incident }) {
  return html`
    ${incident.acknowledged_by && incident.state !== "open" ? html`<div><${Name}>${incident.acknowledged_by}<//>
      <div class="sub">since ${time(incident.acknowledged_at)}</div></div>` : html`<span class="muted">${incident.state === "resolved" ? "–" : "nobody"}</span>`}
    ${incident.verdict ? html`<div class="sub">${VERDICTS[incident.verdict] || incident.verdict}, says <${Name}>${incident.verdict_by}<//></div>` : ""}`;
}

export function Since({ incident, now }) {
  const until = incident.resolved_at ? new Date(incident.resolved_at).getTime() : now;
  return html`${time(incident.opened_at)}<div class="sub">${incident.state === "resolved" ? "lasted" : "for"} ${lasting(until - new Date(incident.opened_at).getTime())}</div>`;
}

export function IncidentTable({ incidents, store, toast, caption, withSensor = true }) {
  const now = useNow(1000);
  return html`<div class="scroll"><table><caption class="hidden">${caption}</caption>
    <thead><tr><th scope="col">State</th>${withSensor ? html`<th scope="col">Sensor</th>` : ""}<th scope="col">Since</th><th scope="col" class="num">Peak</th>
      <th scope="col">Mainly</th><th scope="col">Looked after by</th><th scope="col">Do</th></tr></thead>
    <tbody>${incidents.map((one) => html`<tr key=${one.id} class=${one.state === "open" ? "fresh" : ""} data-incident=${one.id}>
      <td><${State} of=${one.state} />${one.silenced_by.length ? html`<div class="sub">silenced</div>` : ""}${one.data.suppressed ? html`<div class="sub">like a false alarm</div>` : ""}</td>
      ${withSensor ? html`<td><a href=${pathOf.incident(one.id)}><${Name}>${one.sensor_id}<//></a><div class="sub"><${Labels} of=${one.labels} /></div></td>` : ""}
      <td class="nowrap">${withSensor ? html`<${Since} incident=${one} now=${now} />` : html`<a href=${pathOf.incident(one.id)}>${time(one.opened_at)}</a>`}</td>
      <td class="num">${score(one.peak)}<div><${Severity} of=${one.severity} /></div></td>
      <td class="mainly">${one.kind === "detector" ? html`<${Name}>${one.data.reason || "The detector needs somebody."}<//>` : ""}${one.kind === "drift" ? html`<div class="sub">Drift: normal operation has changed</div>` : ""}<${Channels} incident=${one} /></td>
      <td><${Who} incident=${one} /></td>
      <td class="do"><${Actions} incident=${one} store=${store} toast=${toast} /></td></tr>`)}
    </tbody></table></div>`;
}

function queryOf(state, words, severity) {
  const query = new URLSearchParams();
  if (state) query.set("state", state);
  if (words.trim()) query.set("q", words.trim());
  if (severity) query.set("severity", severity);
  return query.toString();
}

export function Incidents({ store, toast }) {
  useTitle("Incidents");
  const [state, setState] = useState("");
  const [words, setWords] = useState("");
  const [severity, setSeverity] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => store.show(queryOf(state, words, severity)), 150);
    return () => clearTimeout(timer);
  }, [state, words, severity]);
  useEffect(() => () => store.show(""), []);
  const list = store.list();
  const open = store.countOf("open");
  const acknowledged = store.countOf("acknowledged");
  const more = store.areMore ? " or more" : "";

  return html`<div>
    <div class="head"><div><h1>Incidents</h1>
      <p class="lead"><b>${open ? count(open) : "None"}${open ? more : ""}</b> ${open ? (open === 1 && !more ? "waits for somebody" : "wait for somebody") : "waits for anybody"}${acknowledged ? html`, <b>${count(acknowledged)}</b> looked after` : ""}.${" "}
        Readings above the threshold that belong together are one incident. The peak says how many times the threshold it reached.</p></div>
      <div class="tools">
        <label class="field">Search<input type="search" placeholder="sensor, channel, comment" value=${words} onInput=${(event) => setWords(event.currentTarget.value)} /></label>
        <label class="field">Severity<select value=${severity} onChange=${(event) => setSeverity(event.currentTarget.value)}>
          <option value="">all</option><option value="high">high</option><option value="medium">medium</option><option value="low">low</option></select></label>
        <${Choice} label="State" options=${STATES} value=${state} onChange=${setState} />
      </div>
    </div>
    <${Unhealthy} store=${store} />
    ${store.error ? html`<${Notice}>${store.error}<//>` : ""}
    <section class="card" aria-label="List of incidents">
      ${list.length ? html`<${IncidentTable} incidents=${list} store=${store} toast=${toast} caption=${some(list.length, "incident")} />`
        : html`<p class="empty">${words || severity || state ? "No incident fits the filter." : "No incident yet. They appear here within seconds, without a reload."}</p>`}
      ${store.next ? html`<div class="strip-foot"><span>${some(list.length, "incident")} shown</span><button type="button" onClick=${() => store.more()}>Show older ones</button></div>` : ""}
    </section>
  </div>`;
}

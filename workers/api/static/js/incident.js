// `/incidents/{id}`: one incident, why it is one, and what became of it.

import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { get, pathOf, post } from "./api.js";
import { Actions } from "./actions.js";
import { Chart } from "./chart.js";
import { Since, Who } from "./incidents.js";
import { Labels, Name, Notice, Severity, State, useNow, useTitle } from "./kit.js";
import { DIRECTIONS, ENDS, STATE_MEANS, count, number, percent, score, some, time } from "./words.js";

function Said({ incident }) {
  const data = incident.data;
  const main = (data.channels || [])[0];
  if (incident.kind === "detector")
    return html`<p class="said">The detector itself needs somebody: <b><${Name}>${data.reason || "nobody reads, or it is far behind"}<//></b>. Until then incidents may come late or not at all.</p>`;
  if (incident.kind === "drift")
    return html`<p class="said">Normal operation of <b><${Name}>${incident.sensor_id}<//></b> has left what the model was calibrated on. Check the process; if this is the new normal, train the model again.</p>`;
  return html`<p class="said">The score of <b><${Name}>${incident.sensor_id}<//></b> rose above its threshold at <b>${time(incident.opened_at)}</b> and reached <b>${score(incident.peak)} times</b> the threshold.${main ? html` Mainly <b><${Name}>${main.channel}<//></b> (${percent(main.share)}, ${DIRECTIONS[main.direction] || main.direction}): read <b>${number(main.observed, 4)}${main.unit ? ` ${main.unit}` : ""}</b>, expected <b>${number(main.expected, 4)} ± ${number(main.band)}</b>.` : ""}${data.end_reason ? ` It ended: ${ENDS[data.end_reason] || data.end_reason}.` : ""}</p>`;
}

function Channels({ channels }) {
  return html`<div class="scroll"><table><caption class="hidden">Channels by their share in the score</caption>
    <thead><tr><th scope="col">Channel</th><th scope="col">How</th><th scope="col" class="num">Share</th><th scope="col" class="num">Read</th><th scope="col" class="num">Expected</th><th scope="col" class="num">Usual ±</th></tr></thead>
    <tbody>${channels.map((one) => html`<tr key=${one.channel}><td><${Name}>${one.channel}<//></td><td>${DIRECTIONS[one.direction] || one.direction}</td>
      <td class="num">${percent(one.share)}</td><td class="num">${number(one.observed, 4)} ${one.unit}</td><td class="num">${number(one.expected, 4)}</td><td class="num">${number(one.band)}</td></tr>`)}</tbody></table></div>`;
}

function Picture({ excerpt }) {
  const columns = useMemo(() => [excerpt.ts.map((ts) => new Date(ts).getTime() / 1000), excerpt.expected, excerpt.observed], [excerpt]);
  return html`<section class="card" aria-label="Excerpt"><header><h2><${Name}>${excerpt.channel}<//> over the incident</h2><p class="keys"><span class="k-measured">measured</span><span class="k-cleaned">expected</span></p></header>
    <div class="body"><${Chart} kind="excerpt" data=${columns} height=${180} label="A few points of the main channel, measured and expected; the numbers are in the table below." />
    <details><summary>The same as a table</summary><table><caption class="hidden">Points of the excerpt</caption><thead><tr><th scope="col">Time</th><th scope="col" class="num">Measured</th><th scope="col" class="num">Expected</th><th scope="col" class="num">Score</th></tr></thead>
      <tbody>${excerpt.ts.map((ts, i) => html`<tr key=${i}><td>${time(ts)}</td><td class="num">${number(excerpt.observed[i], 4)}</td><td class="num">${number(excerpt.expected[i], 4)}</td><td class="num">${score(excerpt.score[i])}</td></tr>`)}</tbody></table></details></div></section>`;
}

function Comments({ incident, toast, again }) {
  const [list, setList] = useState([]);
  const [text, setText] = useState("");
  const path = `${pathOf.apiIncident(incident.id)}/comments`;
  const load = () => get(path).then((found) => setList(found.items || found), () => {});
  useEffect(() => {
    load();
  }, [incident.id, incident.comments]);
  async function send(event) {
    event.preventDefault();
    try {
      await post(path, { text });
      setText("");
      await load();
      await again();
    } catch (error) {
      toast(error.message, "bad");
    }
  }
  return html`<section class="card" aria-label="Comments"><header><h2>Comments</h2></header><div class="body">
    <ul class="comments">${list.map((one, i) => html`<li key=${i}><b><${Name}>${one.by}<//></b>${" "}<span class="muted small">${time(one.at)}</span><p><${Name}>${one.text}<//></p></li>`)}</ul>
    ${list.length ? "" : html`<p class="muted small">None yet.</p>`}
    <form class="stack" onSubmit=${send}><label class="field">Note for those who read it later<textarea maxlength="4000" required value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea></label>
      <div class="actions"><button type="submit">Comment</button></div></form></div></section>`;
}

function Deliveries({ incident }) {
  const [list, setList] = useState(null);
  useEffect(() => {
    get(`${pathOf.apiIncident(incident.id)}/deliveries`).then((found) => setList(found.items || found), () => setList(null));
  }, [incident.id, incident.updated_at]);
  if (!list) return "";
  return html`<section class="card" aria-label="Who was told"><header><h2>Who was told</h2></header>
    ${list.length ? html`<div class="scroll"><table><caption class="hidden">Notifications of this incident</caption><thead><tr><th scope="col">What</th><th scope="col">State</th><th scope="col" class="num">Attempts</th><th scope="col">When</th></tr></thead>
      <tbody>${list.map((one) => html`<tr key=${one.id}><td>${one.type}</td><td>${one.state}${one.reason ? html`<div class="sub"><${Name}>${one.reason}<//></div>` : ""}</td><td class="num">${one.attempts}</td><td>${time(one.delivered_at || one.created_at)}</td></tr>`)}</tbody></table></div>`
      : html`<p class="empty">No subscription asked for it.</p>`}</section>`;
}

export function Incident({ id, store, toast }) {
  const [error, setError] = useState("");
  const now = useNow(1000);
  useEffect(() => {
    setError("");
    store.look(id).catch((problem) => setError(problem.message));
  }, [id]);
  const incident = store.get(id);
  useTitle(incident ? `Incident of ${incident.sensor_id}` : "Incident");
  if (!incident) return html`<div><h1>Incident</h1>${error ? html`<${Notice}>${error}<//>` : html`<p class="empty">Loading the incident…</p>`}</div>`;
  const { data } = incident;
  return html`<div>
    <div class="head"><div><p class="small"><a href="/incidents">Incidents</a> / one</p><h1>Incident of <a href=${pathOf.sensor(incident.sensor_id)}><${Name}>${incident.sensor_id}<//></a></h1>
      <p class="lead"><${State} of=${incident.state} />${" "}<${Severity} of=${incident.severity} />${" "}${STATE_MEANS[incident.state]}</p></div>
      <${Actions} incident=${incident} store=${store} toast=${toast} all /></div>
    <div class="columns"><div class="stack">
      <section class="card" aria-label="In words"><div class="body" style=${{ paddingTop: "1rem" }}><${Said} incident=${incident} /></div></section>
      ${data.excerpt ? html`<${Picture} excerpt=${data.excerpt} />` : ""}
      ${(data.channels || []).length ? html`<section class="card" aria-label="Channels"><header><h2>Channels</h2></header><${Channels} channels=${data.channels} /></section>` : ""}
      <${Deliveries} incident=${incident} />
      <${Comments} incident=${incident} toast=${toast} again=${() => store.again(id)} />
    </div><aside class="stack"><section class="card" aria-label="Facts"><header><h2>Facts</h2></header><div class="body"><dl class="facts">
      <dt>Since</dt><dd><${Since} incident=${incident} now=${now} /></dd>
      <dt>Looked after by</dt><dd><${Who} incident=${incident} /></dd>
      <dt>Labels</dt><dd><${Labels} of=${incident.labels} /></dd>
      ${data.flagged == null ? "" : html`<dt>Readings</dt><dd>${count(data.flagged)} above the threshold</dd>`}
      ${data.raised_by && data.raised_by.length ? html`<dt>Rules</dt><dd>${data.raised_by.map((rule) => html`<div><${Name}>${rule}<//></div>`)}</dd>` : ""}
      ${data.suppressed ? html`<dt>Held back</dt><dd><${Name}>${data.suppressed.reason}<//></dd>` : ""}
      ${data.budget ? html`<dt>Budget</dt><dd>${data.budget.budget}; ${some(data.budget.last_week, "incident")} of this sensor this week</dd>` : ""}
      ${data.model ? html`<dt>Model</dt><dd><${Name}>${data.model.name}@${data.model.version}<//></dd>` : ""}
      ${data.source ? html`<dt>Source</dt><dd class="mono"><${Name}>${data.source.topic}<//>/${data.source.partition} from ${data.source.first_offset}</dd>` : ""}
      <dt>Id</dt><dd class="mono">${incident.id}</dd>
      <dt>As JSON</dt><dd><a href=${pathOf.apiIncident(incident.id)}>/v1/incidents/…</a></dd>
    </dl></div></section></aside></div></div>`;
}

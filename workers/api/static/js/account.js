// `/account`: how many alarms were raised against those allowed, and where every reading went.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, pathOf } from "./api.js";
import { Name, Notice, Unhealthy, useTitle } from "./kit.js";
import { ago, count, number, some, time } from "./words.js";

const EVERY_MS = 2000;

function Budget({ budget, model }) {
  const allowed = budget.allowed_week;
  const share = allowed ? Math.min(1, budget.week / (allowed * 1.5)) : Math.min(1, budget.week / 10);
  const isOver = allowed != null && budget.week > Math.max(allowed, 1);
  const words = budget.words || (model && model.budget_words);
  return html`<section class="card" aria-label="Alarm budget"><header><h2>Alarm budget of this week</h2></header><div class="body">
    <p class="big">${count(budget.week)} <small>${budget.week === 1 ? "incident" : "incidents"}, ${allowed == null ? "the number allowed is not known yet" : `${number(allowed)} false ones allowed`}</small></p>
    <div class=${isOver ? "meter over" : "meter"} role="meter" aria-label="Incidents of this week" aria-valuemin="0" aria-valuemax=${allowed == null ? 10 : Math.max(allowed * 1.5, budget.week)} aria-valuenow=${budget.week}
      aria-valuetext=${allowed == null ? some(budget.week, "incident") : `${budget.week} of ${number(allowed)} allowed`}>
      <div class="fill" style=${{ width: `${share * 100}%` }}></div>${allowed == null ? "" : html`<div class="allowed" style=${{ left: `${100 / 1.5}%` }}></div>`}</div>
    <p class="muted small">${allowed == null ? "The first incident says what the budget allows." : isOver ? "More than the budget allows. True faults count too: give verdicts to see how many were false." : "Within the budget. The dashed line is what it allows; true faults count too."}</p>
    <dl class="facts" style=${{ marginTop: "0.9rem" }}>
      <dt>Budget</dt><dd>${words || "not known yet"}${budget.sensors ? `, ${some(budget.sensors, "sensor")}` : ""}</dd>
      <dt>Verdicts</dt><dd>${some(budget.faults, "fault")}, ${some(budget.false_alarms, "false alarm")}, ${count(budget.week - budget.faults - budget.false_alarms)} not judged</dd>
      <dt>Held back</dt><dd>${budget.suppressed ? `${count(budget.suppressed)} looked like a confirmed false alarm` : "none"}</dd>
      <dt>Rests on</dt><dd>${budget.certified == null ? "not known before the first incident" : budget.certified ? "counted: the model's history is long enough to have shown this rate" : "an estimate: the model's history is too short to have shown this rate"}</dd>
      <dt>Calibration</dt><dd>${model ? html`${ago(model.calibrated_at)} <span class="muted">(${time(model.calibrated_at)})</span>` : budget.calibration ? html`version <${Name}>${budget.calibration}<//>; set model.path to see its age` : "not known: set model.path"}</dd>
      <dt>Last drift</dt><dd>${budget.drift ? html`<a href=${pathOf.incident(budget.drift.id)}><${Name}>${budget.drift.sensor_id}<//></a>, ${time(budget.drift.opened_at)}, ${budget.drift.state === "resolved" ? "over" : "goes on: train the model again"}` : "none: no sensor has left what the model was calibrated on"}</dd>
    </dl></div></section>`;
}

function Part({ value, name, says }) {
  return html`<div><span class="big">${count(value)}</span><span>${name}</span><span class="muted small">${says}</span></div>`;
}

function Account({ account }) {
  return html`<section class="card" aria-label="The account"><header><h2>Where every reading went</h2>
      <span class=${account.balanced ? "badge good" : "badge high"}>${account.balanced ? "✓ adds up" : `${count(Math.abs(account.missing))} not accounted for`}</span></header>
    <div class="body"><div class="equation">
      <${Part} value=${account.read} name="read" says="readings, bad records too" /><span class="op">=</span>
      <${Part} value=${account.scored} name="scored" says=${some(account.anomalies, "above the threshold", "above the threshold")} /><span class="op">+</span>
      <${Part} value=${account.warming_up} name="warming up" says="window not full yet" /><span class="op">+</span>
      <${Part} value=${account.dropped} name="dropped" says=${`${count(account.late)} late, ${count(account.duplicate)} twice`} /><span class="op">+</span>
      <${Part} value=${account.dead_lettered} name="dead letters" says="could not be read" />
    </div></div></section>`;
}

function Workers({ pipeline }) {
  return html`<section class="card" aria-label="Workers"><header><h2>Workers</h2><span class="muted small">lag ${count(pipeline.lag_records)} records${
    pipeline.latency_ms && pipeline.latency_ms.p50 != null ? `, latency p50 ${number(pipeline.latency_ms.p50)} ms, p99 ${number(pipeline.latency_ms.p99)} ms` : ""}</span></header>
    <div class="scroll"><table><caption class="hidden">Workers that read and score</caption><thead><tr><th scope="col">Worker</th><th scope="col">Does</th><th scope="col">Partitions</th><th scope="col" class="num">Sensors</th><th scope="col" class="num">Scored</th><th scope="col" class="num">Memory</th></tr></thead>
    <tbody>${pipeline.workers.map((one) => html`<tr key=${one.slot}><td>${one.slot}</td><td>${one.phase}</td><td>${one.partitions.join(", ") || "none"}</td><td class="num">${count(one.sensors)}</td>
      <td class="num">${count(one.counts && one.counts.scored)}</td><td class="num">${one.resident_bytes ? `${number(one.resident_bytes / 2 ** 20)} MiB` : "–"}</td></tr>`)}</tbody></table></div></section>`;
}

function Model({ found }) {
  const model = found.model || found.budget.model;
  return html`<section class="card" aria-label="Model and readings"><header><h2>Model and readings</h2></header><div class="body"><dl class="facts">
    <dt>Model</dt><dd>${model ? html`<${Name}>${model.name}<//> <span class="mono"><${Name}>${model.version}<//></span>` : "not known before the first incident: set model.path"}</dd>
    ${found.model && found.model.warning ? html`<dt>Its warning</dt><dd><${Name}>${found.model.warning}<//></dd>` : ""}
    <dt>This page</dt><dd>${found.following ? found.following.said : "gateway.live is off: no readings are followed"}</dd>
    ${found.following && found.following.unfollowed ? html`<dt>Not followed</dt><dd>${count(found.following.unfollowed)} readings of sensors beyond gateway.live_sensors</dd>` : ""}
    <dt>Metrics</dt><dd><a href="/metrics">/metrics</a> for Prometheus and Grafana</dd></dl></div></section>`;
}

export function AccountView({ store }) {
  useTitle("Account");
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  useEffect(() => {
    let over = false;
    let timer = 0;
    async function again() {
      try {
        const document = await get("/v1/account");
        if (!over) setFound(document);
        setError("");
      } catch (problem) {
        setError(problem.message);
      }
      if (!over) timer = setTimeout(again, EVERY_MS);
    }
    again();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, []);
  return html`<div><div class="head"><div><h1>Budget and account</h1>
      <p class="lead">The budget says how many false alarms you agreed to. The account shows that no reading got lost on the way.</p></div></div>
    <${Unhealthy} store=${store} />
    ${error ? html`<${Notice}>${error}<//>` : ""}
    ${found ? html`${found.pipeline.answers ? "" : html`<${Notice}>${found.pipeline.said}<//>`}
      <div class="stack">${found.pipeline.account ? html`<${Account} account=${found.pipeline.account} />` : ""}
      <div class="halves"><${Budget} budget=${found.budget} model=${found.model} /><div class="stack"><${Model} found=${found} />
      ${found.pipeline.answers ? html`<${Workers} pipeline=${found.pipeline} />` : ""}</div></div></div>` : error ? "" : html`<p class="empty">Loading…</p>`}
  </div>`;
}

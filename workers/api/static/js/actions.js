// What people do with an incident: acknowledge, silence, say what it was.

import { html, useState } from "../vendor/htm-preact.js";
import { pathOf, post } from "./api.js";
import { Choice, Dialog, Name } from "./kit.js";
import { VERDICTS } from "./words.js";

const HOURS = [["1", "1 hour"], ["8", "8 hours"], ["other", "Other"]];

function SilenceDialog({ incident, onClose, run }) {
  const [length, setLength] = useState("1");
  const [hours, setHours] = useState("24");
  const [reason, setReason] = useState("");
  async function send(event) {
    event.preventDefault();
    const lasts = Number(length === "other" ? hours : length);
    const ends = new Date(Date.now() + lasts * 3_600_000).toISOString();
    await run(() => post("/v1/silences", {
      matchers: [{ name: "sensor_id", value: incident.sensor_id, isRegex: false, isEqual: true }],
      endsAt: ends,
      comment: reason,
    }), `No notifications of this sensor until ${new Date(ends).toLocaleString()}.`);
    onClose();
  }
  return html`<${Dialog} title="Silence this sensor" onClose=${onClose}>
    <form onSubmit=${send}>
      <p>Nobody is notified of incidents of <b><${Name}>${incident.sensor_id}<//></b> for a while. Detection goes on, and the page shows everything.</p>
      <div><${Choice} label="How long" options=${HOURS} value=${length} onChange=${setLength} /></div>
      ${length === "other" ? html`<label class="field">Hours<input type="number" min="0.25" max="8784" step="0.25" required value=${hours} onInput=${(event) => setHours(event.currentTarget.value)} /></label>` : ""}
      <label class="field">Reason, for those who wonder later<textarea required maxlength="4000" autofocus value=${reason} onInput=${(event) => setReason(event.currentTarget.value)}></textarea></label>
      <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary" type="submit">Silence</button></div>
    </form>
  <//>`;
}

const MEANS = {
  fault: "The threshold learns nothing from these readings, so the same fault is found again.",
  false_alarm: "What looks like it is held back from now on, for this sensor and model.",
};

function VerdictDialog({ incident, onClose, run }) {
  const [verdict, setVerdict] = useState(incident.verdict || "");
  const [note, setNote] = useState("");
  async function send(event) {
    event.preventDefault();
    await run(() => post(`${pathOf.apiIncident(incident.id)}:verdict`, { verdict, note }), `Noted: ${VERDICTS[verdict].toLowerCase()}.`);
    onClose();
  }
  return html`<${Dialog} title="What was it?" onClose=${onClose}>
    <form onSubmit=${send}>
      <p>The stream goes by your verdict from its next reading of <b><${Name}>${incident.sensor_id}<//></b> on.</p>
      <fieldset class="radios"><legend class="hidden">Verdict</legend>${Object.entries(VERDICTS).map(([key, text], i) => html`<label key=${key}>
        <input type="radio" name="verdict" value=${key} required autofocus=${i === 0} checked=${verdict === key} onChange=${() => setVerdict(key)} />
        <span><b>${text}</b><span class="muted small">${MEANS[key]}</span></span></label>`)}</fieldset>
      <label class="field">Note (may be empty)<textarea maxlength="1000" value=${note} onInput=${(event) => setNote(event.currentTarget.value)}></textarea></label>
      <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary" type="submit">Send the verdict</button></div>
    </form>
  <//>`;
}

// `all`: with resolving and taking back, for the page of one incident.
export function Actions({ incident, store, toast, all = false }) {
  if (!store.mayAct) return html`<span class="muted">–</span>`;
  return html`<${Buttons} incident=${incident} store=${store} toast=${toast} all=${all} />`;
}

function Buttons({ incident, store, toast, all }) {
  const [dialog, setDialog] = useState(null);
  const [busy, setBusy] = useState(false);
  const close = () => setDialog(null);
  const path = pathOf.apiIncident(incident.id);
  const whose = `of ${incident.sensor_id}`;

  async function run(send, done) {
    setBusy(true);
    try {
      await send();
      await store.again(incident.id);
      toast(done);
    } catch (error) {
      toast(error.message, "bad");
    } finally {
      setBusy(false);
    }
  }
  const isOver = incident.state === "resolved";
  return html`<span class="actions">
    ${incident.state === "open" ? html`<button type="button" class="primary" disabled=${busy} aria-label=${`Acknowledge the incident ${whose}`}
      onClick=${() => run(() => post(`${path}:acknowledge`, {}), "Acknowledged: you look after it.")}>Acknowledge</button>` : ""}
    ${all && incident.state === "acknowledged" ? html`<button type="button" disabled=${busy}
      onClick=${() => run(() => post(`${path}:unacknowledge`), "Nobody looks after it any more.")}>Give it back</button>` : ""}
    ${isOver ? "" : html`<button type="button" disabled=${busy} aria-label=${`Silence the sensor ${whose}`} onClick=${() => setDialog("silence")}>Silence…</button>`}
    ${incident.kind === "detector" ? "" : html`<button type="button" disabled=${busy} aria-label=${`Verdict on the incident ${whose}`} onClick=${() => setDialog("verdict")}>Verdict…</button>`}
    ${all && !isOver ? html`<button type="button" disabled=${busy}
      onClick=${() => run(() => post(`${path}:resolve`, {}), "Closed by you.")}>Close it</button>` : ""}
    ${dialog === "silence" ? html`<${SilenceDialog} incident=${incident} onClose=${close} run=${run} />` : ""}
    ${dialog === "verdict" ? html`<${VerdictDialog} incident=${incident} onClose=${close} run=${run} />` : ""}
  </span>`;
}

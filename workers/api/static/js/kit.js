// Small parts that several views share. Everything that comes from outside is a text node.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { pathOf } from "./api.js";
import { STATES, score, severityOf } from "./words.js";

export { html };

export function useTitle(title) {
  useEffect(() => {
    document.title = `${title} · Vigie`;
  }, [title]);
}

// The time now, again every `every` milliseconds: for ages.
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

// A name that somebody else gave: kept apart from the text around it, whatever its direction.
export const Name = ({ children }) => html`<bdi>${children}</bdi>`;

export const Severity = ({ of }) => html`<span class=${`badge ${of}`}>${of}</span>`;

export const State = ({ of }) => html`<span class=${`badge ${of}`}>${STATES[of] || of}</span>`;

export function Score({ value }) {
  const severity = severityOf(value);
  return html`<span class=${severity ? `over ${severity}` : ""}>${score(value)}${
    severity ? html`<span class="hidden"> (above the threshold)</span>` : ""
  }</span>`;
}

export const Labels = ({ of }) => html`<span class="tags">${Object.entries(of || {}).map(
  ([name, value]) => html`<span class="tag" key=${name}><${Name}>${name}<//>: <${Name}>${value}<//></span>`,
)}</span>`;

// A choice of one of several, as buttons.
export const Choice = ({ label, options, value, onChange }) => html`<div class="choice" role="group" aria-label=${label}>
  ${options.map(([key, text]) => html`<button type="button" key=${key} aria-pressed=${String(key === value)}
    onClick=${() => onChange(key)}>${text}</button>`)}
</div>`;

// Which sensors of many are shown.
export const Filters = ({ words, label, choices, onWords, onLabel }) => html`<label class="field">Find a sensor<input type="search"
    placeholder="name or label" value=${words} onInput=${(event) => onWords(event.currentTarget.value)} /></label>
  ${choices.length ? html`<label class="field">Label<select value=${label} onChange=${(event) => onLabel(event.currentTarget.value)}>
    <option value="">all</option>
    ${choices.map(({ key, pair, count: n }) => html`<option key=${key} value=${key}>${pair[0]}: ${pair[1]} (${n})</option>`)}
  </select></label>` : ""}`;

export const Notice = ({ children }) => html`<p class="notice" role="status">${children}</p>`;

// Said while nobody is told of the incidents of sensors, as their detector is not to be trusted.
export function Unhealthy({ store }) {
  const found = store.unhealthy();
  if (!found) return "";
  return html`<${Notice}>Vigie itself is not healthy: <${Name}>${found.data.reason || "the detector does not do its work"}<//>.
    Nobody is notified of the incidents of sensors meanwhile. <a href=${pathOf.incident(found.id)}>See its incident</a><//>`;
}

// A dialog of the browser: it traps the focus, Escape closes it, closing puts the focus back.
export function Dialog({ title, onClose, children }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${box} aria-labelledby="dialog-title" onClose=${onClose}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Redraws when the colours of the system or the width of an element change.
export function useRedraw(target, draw) {
  const latest = useRef(draw);
  latest.current = draw;
  useEffect(() => {
    let frame = 0;
    const soon = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => latest.current());
    };
    const sizes = new ResizeObserver(soon);
    if (target.current) sizes.observe(target.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", soon);
    return () => {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      scheme.removeEventListener("change", soon);
    };
  }, []);
}

export function colours(...names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

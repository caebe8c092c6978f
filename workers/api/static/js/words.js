// Numbers, times and words as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.NumberFormat("en");

export const count = (number) => (number == null ? "unknown" : whole.format(number));

export function number(value, digits = 3) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(2);
  return String(Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(Math.abs(value) + 1))))));
}

export const score = (value) => (value == null || !Number.isFinite(value) ? "–" : value.toFixed(value < 10 ? 2 : 1));

export const percent = (share) => (share == null ? "–" : `${Math.round(100 * share)} %`);

export function time(at, { withDay = "auto", seconds = true } = {}) {
  if (!at) return "–";
  const date = new Date(at);
  const text = (seconds ? clock : minute).format(date);
  const isToday = date.toDateString() === new Date().toDateString();
  return withDay === "auto" && isToday ? text : `${day.format(date)}, ${text}`;
}

export function lasting(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

export const ago = (at) => (at ? `${lasting(Date.now() - new Date(at).getTime())} ago` : "never");

export function severityOf(value) {
  if (!(value >= 1)) return "";
  return value >= 4 ? "high" : value >= 2 ? "medium" : "low";
}

export const STATES = { open: "Open", acknowledged: "Acknowledged", resolved: "Over" };
export const STATE_MEANS = {
  open: "in alarm, nobody looks after it yet",
  acknowledged: "in alarm, somebody looks after it",
  resolved: "over",
};
export const DIRECTIONS = { high: "too high", low: "too low", pattern: "unusual course", missing: "missing" };
export const ENDS = {
  recovered: "the readings are back to normal",
  new_normal: "the new level was accepted as normal",
  maximum_duration: "it was cut at its longest duration",
  off: "the sensor is not judged any more",
  stale: "the sensor fell silent",
  forgotten: "the sensor was silent for so long that it was forgotten",
  model_changed: "another model judges the sensor now",
};
export const VERDICTS = { fault: "Fault", false_alarm: "False alarm" };

export const some = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

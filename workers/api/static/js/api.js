// Requests to the gateway, and streams of events from it.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail || `The gateway answers ${status}.`);
    this.status = status;
  }
}

const session = { csrf: null, onLogin: () => {} };

export function onLoginNeeded(handler) {
  session.onLogin = handler;
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function failure(answer) {
  let detail = "";
  try {
    const problem = await answer.json();
    const errors = (problem.errors || []).map((one) => `${one.pointer}: ${one.detail}`);
    detail = [problem.detail, ...errors].filter(Boolean).join(" ");
  } catch {
    detail = "";
  }
  if (answer.status === 401) session.onLogin();
  return new ApiError(answer.status, detail);
}

async function ask(method, path, body, options = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") {
    if (session.csrf) headers["X-CSRF-Token"] = session.csrf;
    headers["Idempotency-Key"] = options.key || randomId();
  }
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: options.signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The gateway does not answer. Is vigie serve running?");
  }
  if (!answer.ok) throw await failure(answer);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, options) => ask("GET", path, undefined, options);
export const post = (path, body = {}) => ask("POST", path, body);

export async function whoAmI() {
  const found = await get("/session");
  session.csrf = found.csrf;
  return found;
}

export async function logIn(token) {
  const found = await post("/session", { token });
  session.csrf = found.csrf;
  return found;
}

export async function logOut() {
  await ask("DELETE", "/session");
  session.csrf = null;
}

export const pathOf = {
  incident: (id) => `/incidents/${encodeURIComponent(id)}`,
  sensor: (id) => `/sensors/${encodeURIComponent(id)}`,
  map: (id) => (id ? `/map/${encodeURIComponent(id)}` : "/map"),
  apiMap: (id) => `/v1/map/${encodeURIComponent(id)}`,
  apiSensor: (id) => `/v1/sensors/${encodeURIComponent(id)}`,
  apiIncident: (id) => `/v1/incidents/${encodeURIComponent(id)}`,
};

const SILENT_MS = 45_000;

// Follows server-sent events and goes on where it was after a cut. `fetch` rather than EventSource,
// which neither says why it was refused nor goes on after that.
//   url        path
//   from       id to go on from, or ""
//   onEvent    (type, data, id) of each event
//   onState    "live" or "down"
//   onBegin    called whenever it is connected without a place to go on from
export function follow(url, { from = "", onEvent, onState = () => {}, onBegin = () => {} }) {
  let id = from;
  let closed = false;
  let control = null;
  let pause = 500;

  async function once() {
    control = new AbortController();
    let watchdog = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => control.abort(), SILENT_MS);
    };
    try {
      alive();
      const headers = { Accept: "text/event-stream" };
      if (id) headers["Last-Event-ID"] = id;
      const answer = await fetch(url, {
        headers,
        credentials: "same-origin",
        cache: "no-store",
        signal: control.signal,
      });
      if (!answer.ok) throw await failure(answer);
      onState("live");
      pause = 500;
      if (!id) onBegin();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done || closed) return;
        alive();
        rest = take(rest + value);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  function take(text) {
    const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
    const rest = blocks.pop();
    for (const block of blocks) {
      let type = "message";
      const data = [];
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") type = value;
        else if (field === "data") data.push(value);
        else if (field === "id") id = value;
      }
      if (data.length && !closed) onEvent(type, JSON.parse(data.join("\n")), id);
    }
    return rest;
  }

  async function run() {
    while (!closed) {
      try {
        await once();
      } catch (error) {
        if (closed) return;
        if (error.status === 401) {
          onState("down");
          return;
        }
      }
      if (closed) return;
      onState("down");
      await new Promise((resume) => setTimeout(resume, pause * (0.75 + Math.random() / 2)));
      pause = Math.min(pause * 2, 15_000);
    }
  }

  run();
  return () => {
    closed = true;
    if (control) control.abort();
  };
}

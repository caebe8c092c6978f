// The incidents that the page knows: what it asked for, kept up to date by /v1/stream.
//
// At most MOST of them are kept, the newest; an event of one that is shown asks for it again, and
// many events at once ask for the list once.

import { follow, get, pathOf } from "./api.js";

const MOST = 500;
const TOGETHER_MS = 250;
const FEW = 4;

export class IncidentStore {
  constructor({ mayAct }) {
    this.mayAct = mayAct;
    this.incidents = new Map();
    this.state = "connecting";
    this.error = "";
    this.news = "";
    this.next = null;
    this.query = "";
    this.version = 0;
    this.listeners = new Set();
    this.changed = new Map();
    this.timer = 0;
    this.stop = null;
    this.events = 0;
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell() {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }

  start() {
    this.stop = follow("/v1/stream", {
      onBegin: () => this.load(),
      onState: (state) => {
        this.state = state;
        this.tell();
      },
      onEvent: (type, event) => {
        if (type === "reset") {
          this.load();
          return;
        }
        this.events += 1;
        const id = idOf(event);
        if (!id) return;
        this.changed.set(id, { type, event });
        if (!this.timer) this.timer = setTimeout(() => this.refresh(), TOGETHER_MS);
      },
    });
  }

  close() {
    if (this.stop) this.stop();
    clearTimeout(this.timer);
  }

  // Which incidents are listed: a query string of GET /v1/incidents.
  show(query) {
    if (query === this.query && this.version) return;
    this.query = query;
    this.load();
  }

  async load() {
    const query = this.query;
    try {
      const page = await get(`/v1/incidents?limit=100${query ? `&${query}` : ""}`);
      if (query !== this.query) return;
      this.incidents = new Map(page.items.map((one) => [one.id, one]));
      this.next = page.next;
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    this.tell();
  }

  async more() {
    if (!this.next) return;
    const page = await get(
      `/v1/incidents?limit=100&cursor=${encodeURIComponent(this.next)}${this.query ? `&${this.query}` : ""}`,
    );
    for (const one of page.items) this.keep(one);
    this.next = page.next;
    this.tell();
  }

  async refresh() {
    this.timer = 0;
    const changed = [...this.changed];
    this.changed.clear();
    if (!changed.length) return;
    try {
      if (this.query || changed.length > FEW) await this.load();
      else await Promise.all(changed.map(([id]) => this.again(id)));
    } catch (error) {
      this.error = error.message;
    }
    const opened = changed.filter(([, one]) => one.type.endsWith("incident.opened"));
    if (opened.length) {
      const last = opened.at(-1)[1].event;
      this.news =
        opened.length === 1
          ? `New incident: ${last.subject}.`
          : `${opened.length} new incidents, the last: ${last.subject}.`;
    }
    this.tell();
  }

  async again(id) {
    this.keep(await get(pathOf.apiIncident(id)));
  }

  keep(one) {
    this.incidents.set(one.id, one);
    while (this.incidents.size > MOST) {
      const oldest = [...this.incidents.values()].reduce((a, b) => (a.opened_at < b.opened_at ? a : b));
      this.incidents.delete(oldest.id);
    }
    this.tell();
  }

  list() {
    const goingOn = (one) => (one.state === "resolved" ? 1 : 0);
    return [...this.incidents.values()].sort(
      (a, b) => goingOn(a) - goingOn(b) || (a.opened_at < b.opened_at ? 1 : -1),
    );
  }

  open() {
    return this.list().filter((one) => one.state === "open").length;
  }
}

// The incident that a CloudEvent of the stream is about.
export function idOf(event) {
  const data = event.data || {};
  return data.incident_id || (data.incident && data.incident.id) || data.id || (typeof data.incident === "string" ? data.incident : null);
}

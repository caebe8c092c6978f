// The incidents that the page knows: what it asked for, kept up to date by /v1/stream.
//
// Those that go on are asked for by themselves, so that none of them is missed behind newer ones
// that are over. An event of one asks for it again, and many events at once ask for the lists once.
// What was not answered is asked for again, and however much happens, the page rests in between.

import { follow, get, pathOf } from "./api.js";

const PAGE = 100;
const MOST = 500;
const TOGETHER_MS = 250;
const REST_MS = 1000;
const RETRY_MS = 3000;
const FEW = 3;
const GOING_ON = "state=open,acknowledged";

export class IncidentStore {
  constructor({ mayAct }) {
    this.mayAct = mayAct;
    this.incidents = new Map();
    this.goingOn = new Map();
    this.areMore = false;
    this.looked = null;
    this.state = "connecting";
    this.error = "";
    this.news = "";
    this.next = null;
    this.pages = 1;
    this.query = "";
    this.version = 0;
    this.listeners = new Set();
    this.changed = new Map();
    this.isStale = false;
    this.isBusy = false;
    this.isClosed = false;
    this.turn = 0;
    this.notBefore = 0;
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
        this.soon();
      },
    });
  }

  close() {
    this.isClosed = true;
    if (this.stop) this.stop();
    clearTimeout(this.timer);
  }

  soon() {
    if (this.timer || this.isBusy || this.isClosed) return;
    const wait = Math.max(TOGETHER_MS, this.notBefore - Date.now());
    this.timer = setTimeout(() => this.refresh(), wait);
  }

  // Which incidents are listed: a query string of GET /v1/incidents.
  show(query) {
    if (query === this.query && this.version) return;
    this.query = query;
    this.pages = 1;
    this.load();
  }

  async load() {
    try {
      await this.loadLists();
    } catch (error) {
      this.failed(error);
      this.tell();
    }
  }

  // What is asked for while this is under way comes after it, and counts.
  async loadLists() {
    this.turn += 1;
    const { turn, query } = this;
    const more = query ? `&${query}` : "";
    const filtersState = /(^|&)state=/.test(query);
    this.isStale = false;
    const [going, page, top] = await Promise.all([
      get(`/v1/incidents?limit=${MOST}&${GOING_ON}`),
      this.pagesOf(more),
      query && !filtersState ? get(`/v1/incidents?limit=${MOST}&${GOING_ON}${more}`) : null,
    ]);
    if (turn !== this.turn) return;
    const shown = query ? (top ? top.items : []) : going.items;
    const latest = [...shown, ...page.items].map((one) => this.newer(one));
    const goOn = going.items.map((one) => this.newer(one)).filter((one) => one.state !== "resolved");
    this.goingOn = new Map(goOn.map((one) => [one.id, one]));
    this.areMore = going.next !== null;
    this.incidents = new Map(latest.map((one) => [one.id, one]));
    this.next = page.next;
    this.error = "";
    this.tell();
  }

  // A list may be older than what was asked for of one meanwhile.
  newer(one) {
    const known = this.get(one.id);
    return known && new Date(known.updated_at) > new Date(one.updated_at) ? known : one;
  }

  async pagesOf(more) {
    const items = [];
    let next = null;
    for (let left = this.pages * PAGE; left > 0; left -= MOST) {
      const cursor = next ? `&cursor=${encodeURIComponent(next)}` : "";
      const page = await get(`/v1/incidents?limit=${Math.min(left, MOST)}${cursor}${more}`);
      items.push(...page.items);
      next = page.next;
      if (!next) break;
    }
    return { items, next };
  }

  async more() {
    if (!this.next) return;
    this.pages += 1;
    await this.load();
  }

  async refresh() {
    this.timer = 0;
    const changed = [...this.changed];
    this.changed.clear();
    if (!changed.length && !this.isStale) return;
    this.isBusy = true;
    const ids = changed.map(([id]) => id);
    const isMuch = this.isStale || this.query || ids.length > FEW;
    this.notBefore = Date.now() + (isMuch || ids.length > 1 ? REST_MS : TOGETHER_MS);
    try {
      if (isMuch) {
        await this.loadLists();
        if (this.looked && ids.includes(this.looked.id)) await this.again(this.looked.id);
      } else await Promise.all(ids.map((id) => this.known(id)));
      this.error = "";
      this.announce(changed);
    } catch (error) {
      for (const [id, one] of changed) if (!this.changed.has(id)) this.changed.set(id, one);
      this.failed(error);
    }
    this.isBusy = false;
    if (this.changed.size || this.isStale) this.soon();
    this.tell();
  }

  failed(error) {
    this.error = error.message;
    this.isStale = true;
    this.notBefore = Date.now() + RETRY_MS;
    this.soon();
  }

  announce(changed) {
    const opened = changed.filter(([, one]) => one.type.endsWith("incident.opened"));
    if (!opened.length) return;
    const last = opened.at(-1)[1].event;
    this.news =
      opened.length === 1
        ? `New incident: ${last.subject}.`
        : `${opened.length} new incidents, the last: ${last.subject}.`;
  }

  async again(id) {
    this.keep(await get(pathOf.apiIncident(id)));
  }

  // The same for one that may be gone, or another tenant's.
  async known(id) {
    try {
      await this.again(id);
    } catch (error) {
      if (error.status !== 404) throw error;
      this.incidents.delete(id);
      this.goingOn.delete(id);
    }
  }

  // For a view of one, which may be older than all that are listed.
  async look(id) {
    this.looked = { id, incident: null };
    await this.again(id);
  }

  get(id) {
    const looked = this.looked && this.looked.id === id ? this.looked.incident : null;
    return this.incidents.get(id) || this.goingOn.get(id) || looked;
  }

  keep(one) {
    this.incidents.set(one.id, one);
    if (one.state === "resolved") this.goingOn.delete(one.id);
    else this.goingOn.set(one.id, one);
    if (this.looked && this.looked.id === one.id) this.looked.incident = one;
    while (this.incidents.size > MOST + this.pages * PAGE) this.incidents.delete(this.list().at(-1).id);
    while (this.goingOn.size > MOST) this.goingOn.delete(oldest(this.goingOn).id);
    this.tell();
  }

  // Those that go on first, then the newest first.
  list() {
    const isOver = (one) => (one.state === "resolved" ? 1 : 0);
    return [...this.incidents.values()].sort(
      (a, b) => isOver(a) - isOver(b) || (a.opened_at < b.opened_at ? 1 : -1),
    );
  }

  // How many are in this state, of all and not only of those that are listed.
  countOf(state) {
    return [...this.goingOn.values()].filter((one) => one.state === state).length;
  }

  // The incident of the detector itself, while it goes on.
  unhealthy() {
    return [...this.goingOn.values()].find((one) => one.kind === "detector");
  }
}

const oldest = (of) => [...of.values()].reduce((a, b) => (a.opened_at < b.opened_at ? a : b));

// The incident that a CloudEvent of the stream is about.
export function idOf(event) {
  const data = event.data || {};
  return data.incident_id || (data.incident && data.incident.id) || data.id || (typeof data.incident === "string" ? data.incident : null);
}

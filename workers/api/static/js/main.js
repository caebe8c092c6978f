// The page: who is logged in, which view, and what all views share.

import { html, render, useEffect, useReducer, useRef, useState } from "../vendor/htm-preact.js";
import { logIn, logOut, onLoginNeeded, whoAmI } from "./api.js";
import { AccountView } from "./account.js";
import { Fleet } from "./fleet.js";
import { Incident } from "./incident.js";
import { Incidents } from "./incidents.js";
import { IncidentStore } from "./incident-store.js";
import { FleetMap } from "./map.js";
import { Sensor } from "./sensor.js";

const NAV = [["/", "Fleet"], ["/map", "Map"], ["/incidents", "Incidents"], ["/account", "Budget and account"]];
const TOAST_MS = 6000;

function routeOf(path) {
  const [, first, ...rest] = path.split("/");
  let id = "";
  try {
    id = decodeURIComponent(rest.join("/"));
  } catch {
    return { view: "missing" };
  }
  if (!first) return { view: "fleet", nav: "/" };
  if (first === "incidents") return id ? { view: "incident", id, nav: "/incidents" } : { view: "incidents", nav: "/incidents" };
  if (first === "sensors" && id) return { view: "sensor", id, nav: "/" };
  if (first === "map") return { view: "map", id, nav: "/map" };
  if (first === "account") return { view: "account", nav: "/account" };
  return { view: "missing" };
}

function useRoute(main) {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
    const moved = () => setPath(location.pathname);
    function clicked(event) {
      const link = event.target.closest && event.target.closest("a[href]");
      if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const to = new URL(link.href, location.href);
      if (to.origin !== location.origin || to.hash || routeOf(to.pathname).view === "missing") return;
      event.preventDefault();
      if (to.pathname !== location.pathname) history.pushState(null, "", to.pathname);
      moved();
      scrollTo(0, 0);
      if (main.current) main.current.focus({ preventScroll: true });
    }
    addEventListener("popstate", moved);
    document.addEventListener("click", clicked);
    return () => {
      removeEventListener("popstate", moved);
      document.removeEventListener("click", clicked);
    };
  }, []);
  return routeOf(path);
}

function Login({ onDone, said }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState(said);
  async function send(event) {
    event.preventDefault();
    try {
      onDone(await logIn(token.trim()));
    } catch (problem) {
      setError(problem.message);
    }
  }
  return html`<main class="card login"><h1>Vigie</h1><p>This page shows what your sensors do and what goes wrong. It needs a token.</p>
    <form class="stack" onSubmit=${send}><label class="field">Token<input type="password" autocomplete="current-password" required autofocus value=${token} onInput=${(event) => setToken(event.currentTarget.value)} /></label>
      ${error ? html`<p class="error" role="alert">${error}</p>` : ""}<div class="actions"><button class="primary" type="submit">Log in</button></div></form>
    <p class="muted small">Whoever runs Vigie makes one with <code>vigie tokens create</code>.</p></main>`;
}

function Frame({ who, onLogOut }) {
  const main = useRef(null);
  const route = useRoute(main);
  const [store] = useState(() => new IncidentStore({ mayAct: who.scopes.some((scope) => scope !== "read") }));
  const [, redraw] = useReducer((n) => n + 1, 0);
  const [toast, setToast] = useState(null);
  useEffect(() => {
    store.start();
    const stop = store.subscribe(redraw);
    return () => {
      stop();
      store.close();
    };
  }, []);
  useEffect(() => {
    if (!toast) return undefined;
    const timer = setTimeout(() => setToast(null), TOAST_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  const say = (text, kind = "") => setToast({ text, kind });
  const open = store.countOf("open");
  const props = { store, toast: say };
  const views = {
    fleet: () => html`<${Fleet} />`,
    map: () => html`<${FleetMap} chosen=${route.id} />`,
    incidents: () => html`<${Incidents} ...${props} />`,
    incident: () => html`<${Incident} id=${route.id} key=${route.id} ...${props} />`,
    sensor: () => html`<${Sensor} id=${route.id} key=${route.id} ...${props} />`,
    account: () => html`<${AccountView} store=${store} />`,
    missing: () => html`<div><h1>There is no such view</h1><p><a href="/">Fleet</a></p></div>`,
  };
  return html`<div>
    <a class="skip" href="#main">Skip to the content</a>
    <header class="top"><a class="brand" href="/"><img src="/static/icon.svg" alt="" />Vigie</a>
      <nav class="nav" aria-label="Views">${NAV.map(([path, text]) => html`<a key=${path} href=${path} aria-current=${route.nav === path ? "page" : undefined}>${text}${
        path === "/incidents" ? html` <span class=${open ? "count" : "count zero"}>${open}${store.areMore ? "+" : ""}<span class="hidden"> open</span></span>` : ""}</a>`)}</nav>
      <div class="state"><span class=${store.state === "live" ? "link-state" : "link-state down"}>${store.state === "live" ? "live" : "connecting again…"}</span>
        ${who.open_access ? html`<span class="badge low" title="Started with open access: everybody on this machine may do everything">no login</span>` : html`<span>${who.name}</span><button type="button" class="plain" onClick=${onLogOut}>Log out</button>`}</div></header>
    <main id="main" tabindex="-1" ref=${main}>${views[route.view]()}</main>
    <div class="hidden" role="status" aria-live="polite">${store.news}</div>
    ${toast ? html`<div class=${`toast ${toast.kind}`} role=${toast.kind === "bad" ? "alert" : "status"}><span>${toast.text}</span><button type="button" class="plain" onClick=${() => setToast(null)}>Close</button></div>` : ""}
  </div>`;
}

function App() {
  const [who, setWho] = useState(undefined);
  const [said, setSaid] = useState("");
  useEffect(() => {
    onLoginNeeded(() => setWho(null));
    begin().then(setWho, (error) => {
      if (error.status !== 401) setSaid(error.message);
      setWho(null);
    });
  }, []);
  if (who === undefined) return html`<p class="boot">Loading…</p>`;
  if (who === null) return html`<${Login} onDone=${setWho} said=${said} />`;
  return html`<${Frame} who=${who} onLogOut=${() => logOut().then(() => setWho(null), () => setWho(null))} />`;
}

// A link with #token=... logs in once; the token leaves the address before anything else happens.
async function begin() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    return logIn(decodeURIComponent(given[1]));
  }
  return whoAmI();
}

render(html`<${App} />`, document.getElementById("app"));

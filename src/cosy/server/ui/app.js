// The studio: header, pages by the address's hash, and what all pages need.

import { info, load, lost, voices } from "./api.js";
import "./hooks.js";
import { tag, t, useLanguage } from "./i18n.js";
import { effect, html, render, signal, useLayoutEffect, useRef } from "./lib.js";
import { prefs } from "./prefs.js";
import { Brand, Failure } from "./parts/common.js";

const PAGES = {
  speak: () => import("./pages/speak.js"),
  type: () => import("./pages/type.js"),
  voices: () => import("./pages/voices.js"),
  clone: () => import("./pages/clone.js"),
  history: () => import("./pages/history.js"),
  server: () => import("./pages/server.js"),
  settings: () => import("./pages/settings.js"),
};
const LISTED = ["speak", "type", "voices", "history", "server", "settings"];

const route = signal(null); // {name, query, Page}
const failure = signal(null);

function asked() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: path in PAGES ? path : "speak", query: new URLSearchParams(query ?? "") };
}

async function follow() {
  const { name, query } = asked();
  const { default: Page } = await PAGES[name]();
  if (asked().name === name) route.value = { name, query, Page };
}

async function start() {
  failure.value = null;
  try {
    await load();
  } catch (error) {
    failure.value = error;
    voices.value ??= [];
  }
}

function Header({ name }) {
  const here = name === "clone" ? "voices" : name;
  return html`<header>
    <a class="skip" href="#main" onClick=${toMain}>${t("skip")}</a>
    <${Brand} />
    <nav aria-label=${t("nav")}>
      ${LISTED.map(
        (each) => html`<a key=${each} href=${`#/${each}`} aria-current=${each === here ? "page" : undefined}>${t(`${each}.nav`)}</a>`,
      )}
    </nav>
  </header>`;
}

function toMain(event) {
  event.preventDefault(); // the hash is the page's name
  document.querySelector("main").focus();
}

function App() {
  const { name, query, Page } = route.value;
  const main = useRef(null);
  const first = useRef(true);
  useLayoutEffect(() => {
    document.title = `${t(`${name}.title`)} · Cosy`;
    if (!first.current) main.current.focus(); // so that screen readers begin there
    first.current = false;
  }, [name, tag.value]);
  return html`<${Header} name=${name} />
    <main id="main" tabindex="-1" data-page=${name} ref=${main}>
      ${lost.value && html`<div class="notice bad" role="alert" data-code="lost">${t("error.lost")}</div>`}
      ${!lost.value && html`<${Failure} error=${failure.value} />`}
      <h1>${t(`${name}.title`)}</h1>
      <${Page} key=${name} query=${query} />
    </main>
    <footer>
      ${info.value && html`<span>${info.value.name} ${info.value.version} · ${info.value.model.name}</span>`}
      <a href="docs">${t("footer.docs")}</a> <a href="voice-cloner.html">${t("footer.cloner")}</a>
    </footer>`;
}

effect(() => {
  document.documentElement.dataset.theme = prefs.theme.value;
});
let key = prefs.key.peek();
effect(() => {
  if (prefs.key.value === key) return;
  key = prefs.key.value;
  start();
});
addEventListener("hashchange", follow);
const starting = start(); // beside the texts
await Promise.all([useLanguage(), follow(), starting]);
render(html`<${App} />`, document.getElementById("app"));

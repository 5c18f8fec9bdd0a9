// All voices: look for one, listen to it, rename, delete, carry it to another server.

import { call, loadVoices, voices } from "../api.js";
import { html, useRef, useState } from "../lib.js";
import { moment, number, seconds, t } from "../i18n.js";
import { Sayings } from "../parts/advice.js";
import { Copy, Failure, download } from "../parts/common.js";

const path = (voice, what = "") => `cosy/v1/voices/${encodeURIComponent(voice.id)}${what}`;

export default function Voices() {
  const [search, setSearch] = useState("");
  const [error, setError] = useState(null);
  const file = useRef(null);
  const all = voices.value ?? [];
  const wanted = search.trim().toLowerCase();
  const found = all.filter((each) => `${each.name}\n${each.id}\n${each.transcript}`.toLowerCase().includes(wanted));
  const attempt = async (act) => {
    setError(null);
    try {
      await act();
      await loadVoices();
    } catch (failure) {
      setError(failure);
    }
  };
  const bring = (event) => {
    const form = new FormData();
    form.append("file", event.target.files[0]);
    event.target.value = "";
    attempt(() => call("POST", "cosy/v1/voices/import", { form }));
  };
  return html`<div class="stack">
    <div class="row low">
      <div class="field grow">
        <label for="search">${t("voices.search")}</label>
        <input id="search" type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} />
      </div>
      <a class="button main" href="#/clone">${t("voices.new")}</a>
      <button type="button" onClick=${() => file.current.click()}>${t("voices.import")}</button>
      <input type="file" ref=${file} accept=".cosyvoice,application/zip" hidden onChange=${bring} aria-label=${t("voices.import")} />
    </div>
    <${Failure} error=${error} />
    <p class="hint" role="status">
      ${found.length ? t("voices.count", { n: number(found.length), total: number(all.length) }) : t("voices.none")}
    </p>
    <ul class="list two">
      ${found.map((voice) => html`<${Voice} key=${voice.id} voice=${voice} attempt=${attempt} />`)}
    </ul>
  </div>`;
}

function Voice({ voice, attempt }) {
  const [renaming, setRenaming] = useState(false);
  const [heard, setHeard] = useState("");
  const mine = voice.kind === "user";
  const listen = () =>
    attempt(async () => setHeard(URL.createObjectURL(await call("GET", path(voice, "/recording"), { as: "blob" }))));
  const carry = () =>
    attempt(async () => download(await call("GET", path(voice, "/export"), { as: "blob" }), `${voice.name}.cosyvoice`));
  const rename = (name) => {
    setRenaming(false);
    if (name && name !== voice.name) attempt(() => call("PATCH", path(voice), { json: { name } }));
  };
  return html`<li data-voice=${voice.id}>
    ${renaming ? html`<${Rename} name=${voice.name} done=${rename} />` : html`<h2>${voice.name}</h2>`}
    <p class="hint">
      ${mine ? t("voices.user", { when: moment(voice.created_at) }) : t("voices.preset")}
      ${voice.duration_s > 0 && ` · ${seconds(voice.duration_s)}`}
    </p>
    ${mine && html`<code class="id">${voice.id}</code>`}
    ${voice.transcript && html`<p class="clamp">“${voice.transcript}”</p>`}
    ${voice.warnings.length > 0 && html`<div class="notice"><${Sayings} texts=${voice.warnings} /></div>`}
    <div class="row">
      <a class="button" href=${`#/speak?voice=${encodeURIComponent(voice.id)}`} aria-label=${about(t("voices.speak"), voice)}>
        ${t("voices.speak")}
      </a>
      ${mine && html`<${Copy} text=${voice.id} label=${t("voices.copy")} />`}
      ${voice.has_recording && html`<${Act} text=${t("voices.listen")} voice=${voice} act=${listen} />`}
      ${voice.has_recording && html`<${Act} text=${t("voices.export")} voice=${voice} act=${carry} />`}
      ${mine && html`<${Act} text=${t("voices.rename")} voice=${voice} act=${() => setRenaming(true)} />`}
      ${mine && html`<${Remove} voice=${voice} remove=${() => attempt(() => call("DELETE", path(voice), { as: "nothing" }))} />`}
    </div>
    ${heard && html`<audio controls autoplay src=${heard} aria-label=${voice.name}></audio>`}
  </li>`;
}

/** A name that tells screen readers which voice a button is about. */
const about = (text, voice) => `${text}: ${voice.name}`;

function Act({ text, voice, act }) {
  return html`<button type="button" class="quiet" aria-label=${about(text, voice)} onClick=${act}>${text}</button>`;
}

function Rename({ name, done }) {
  const [value, setValue] = useState(name);
  const keys = (event) => event.key === "Escape" && done("");
  return html`<form class="row" onSubmit=${(event) => (event.preventDefault(), done(value.trim()))} onKeyDown=${keys}>
    <input class="grow" aria-label=${t("voices.name")} value=${value} maxlength="64" autofocus onInput=${(event) => setValue(event.target.value)} />
    <button type="submit">${t("save")}</button>
    <button type="button" class="quiet" onClick=${() => done("")}>${t("cancel")}</button>
  </form>`;
}

function Remove({ voice, remove }) {
  const dialog = useRef(null);
  const sure = () => {
    dialog.current.close();
    remove();
  };
  return html`<${Act} text=${t("voices.delete")} voice=${voice} act=${() => dialog.current.showModal()} />
    <dialog ref=${dialog} aria-label=${t("voices.delete")}>
      <p>${t("voices.delete.sure", { name: voice.name })}</p>
      <div class="row">
        <button type="button" class="main" onClick=${sure}>${t("voices.delete")}</button>
        <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
      </div>
    </dialog>`;
}

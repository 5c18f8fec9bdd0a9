// The clone page: a voice id by SiliconFlow's API, as clients of that provider know it, from this server.

import { call } from "./api.js";
import { t, useLanguage } from "./i18n.js";
import { effect, html, render, signal, useEffect, useState } from "./lib.js";
import { Brand, Copy, Failure } from "./parts/common.js";
import { prefs } from "./prefs.js";

const MODELS = ["FunAudioLLM/CosyVoice2-0.5B"];

const listed = signal([]);
const uri = signal(""); // the voice in hand

async function list() {
  listed.value = (await call("GET", "v1/audio/voice/list")).result;
}

/** A file as the data URL that the provider documents. */
function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function upload({ model, name, text, file }) {
  const form = new FormData();
  form.append("model", model);
  form.append("customName", name);
  form.append("text", text);
  form.append("audio", await dataUrl(file));
  return (await call("POST", "v1/uploads/audio/voice", { form })).uri;
}

function Field({ id, label, ...rest }) {
  return html`<div class="field"><label for=${id}>${label}</label><input id=${id} ...${rest} /></div>`;
}

function Upload() {
  const [form, setForm] = useState({ model: MODELS[0], name: "", text: "", file: null });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      uri.value = await upload(form);
      await list();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`<form class="card" onSubmit=${send}>
    <p>${t("cloner.about")}</p>
    <${Field} id="key" label=${t("cloner.key")} type="password" autocomplete="off" value=${prefs.key.value} onInput=${(event) => (prefs.key.value = event.target.value.trim())} />
    <${Field} id="model" label=${t("cloner.model")} value=${form.model} required onInput=${set("model")} />
    <${Field} id="name" label=${t("cloner.name")} value=${form.name} required maxlength="64" onInput=${set("name")} />
    <${Field} id="words" label=${t("cloner.text")} value=${form.text} onInput=${set("text")} />
    <${Field} id="file" label=${t("cloner.file")} type="file" accept="audio/*" required onChange=${(event) => setForm({ ...form, file: event.target.files[0] })} />
    <${Failure} error=${error} />
    <div class="row"><button type="submit" class="main" disabled=${busy}>${busy ? t("cloner.uploading") : t("cloner.upload")}</button></div>
  </form>`;
}

function Try() {
  const [input, setInput] = useState(t("cloner.sample"));
  const [heard, setHeard] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const speak = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    const json = { model: MODELS[0], input, voice: uri.value, response_format: "mp3", stream: false };
    try {
      setHeard(URL.createObjectURL(await call("POST", "v1/audio/speech", { json, as: "blob" })));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`<section class="card" aria-labelledby="made">
    <h2 id="made">${t("cloner.uri")}</h2>
    <code class="id" data-uri>${uri.value}</code>
    <div><${Copy} text=${uri.value} label=${t("voices.copy")} look="" /></div>
    <h2>${t("cloner.try")}</h2>
    <form class="field" onSubmit=${speak}>
      <label for="input">${t("cloner.input")}</label>
      <textarea id="input" rows="3" value=${input} onInput=${(event) => setInput(event.target.value)}></textarea>
      <div class="row"><button type="submit" disabled=${busy || !input.trim()}>${t("cloner.speak")}</button></div>
    </form>
    <${Failure} error=${error} />
    ${heard && html`<audio controls autoplay src=${heard} aria-label=${t("cloner.try")}></audio>`}
  </section>`;
}

function List() {
  const [error, setError] = useState(null);
  useEffect(() => void list().catch(setError), []);
  const remove = (voice) =>
    call("POST", "v1/audio/voice/deletions", { json: { uri: voice.uri } }).then(() => {
      if (uri.value === voice.uri) uri.value = "";
      return list();
    }, setError);
  return html`<section class="card" aria-labelledby="list">
    <h2 id="list">${t("cloner.list")}</h2>
    <${Failure} error=${error} />
    ${!listed.value.length && html`<p>${t("cloner.none")}</p>`}
    <ul class="list">
      ${listed.value.map(
        (voice) => html`<li key=${voice.uri}>
          <h3>${voice.customName}</h3>
          <code class="id">${voice.uri}</code>
          <div class="row">
            <${Act} text=${t("cloner.choose")} voice=${voice} act=${() => (uri.value = voice.uri)} />
            <${Act} text=${t("cloner.delete")} voice=${voice} act=${() => remove(voice)} />
          </div>
        </li>`,
      )}
    </ul>
  </section>`;
}

function Act({ text, voice, act }) {
  return html`<button type="button" class="quiet" aria-label=${`${text}: ${voice.customName}`} onClick=${act}>${text}</button>`;
}

function App() {
  return html`<header>
    <${Brand} />
    <nav aria-label=${t("nav")}><a href=".">${t("cloner.studio")}</a></nav>
  </header>
  <main>
    <h1>${t("cloner.title")}</h1>
    <div class="sides">
      <${Upload} />
      <div class="stack">
        ${uri.value && html`<${Try} key=${uri.value} />`}
        <${List} />
      </div>
    </div>
  </main>`;
}

effect(() => {
  document.documentElement.dataset.theme = prefs.theme.value;
});
await useLanguage();
document.title = `${t("cloner.title")} · Cosy`;
render(html`<${App} />`, document.getElementById("app"));

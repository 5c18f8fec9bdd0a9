// Text in, speech out.

import { info, voices } from "../api.js";
import { formatsOf } from "../encoded.js";
import { keep } from "../history.js";
import { html, signal, useEffect, useState } from "../lib.js";
import { number, t } from "../i18n.js";
import { Check, Select, Slider, voiceOptions } from "../parts/common.js";
import { EXAMPLES } from "../parts/examples.js";
import { NoResult, Result } from "../parts/result.js";
import { prefs } from "../prefs.js";
import { current, speak } from "../speech.js";

const MAX_SEED = 2 ** 32;
const DEFAULTS = {
  text: "",
  voice: "",
  mode: "auto",
  instruction: "",
  speed: 1,
  gain_db: 0,
  format: "wav",
  rate: "",
  seed: "",
  locked: false,
  live: true,
};

const shown = signal(null); // {run, text, format}: the latest, also after a visit to another page

export default function Speak({ query }) {
  const [form, setForm] = useState(() => ({ ...DEFAULTS, text: t("speak.sample"), ...prefs.form.peek(), ...asked(query) }));
  useEffect(() => void (prefs.form.value = form), [form]);
  const set = (change) => setForm((was) => ({ ...was, ...change }));
  const ready = voices.value?.length > 0 && form.text.trim() && (form.mode !== "instruct" || form.instruction.trim());
  const begin = () => ready && (shown.value = { run: start(form), text: form.text, format: form.format });
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) begin();
    if (event.key === "Escape") current.value?.stop();
  };
  return html`<div class="sides">
    <form class="card" onSubmit=${(event) => (event.preventDefault(), begin())} onKeyDown=${keys}>
      <${Text} value=${form.text} set=${set} />
      <div class="grid">
        <${Select}
          id="voice"
          label=${t("speak.voice")}
          value=${chosen(form.voice)}
          options=${voiceOptions(voices.value)}
          onchange=${(voice) => set({ voice })}
        />
        <${Select}
          id="mode"
          label=${t("speak.mode")}
          value=${form.mode}
          options=${["auto", ...(info.value?.modes ?? [])].map((mode) => [mode, t(`mode.${mode}`)])}
          onchange=${(mode) => set({ mode, format: formatsOf(mode, [form.format])[0] ?? "wav" })}
        />
      </div>
      <p class="hint">${t(`mode.${form.mode}.hint`)}</p>
      ${form.mode === "instruct" && html`<${Instruction} value=${form.instruction} set=${set} />`}
      <details>
        <summary>${t("speak.more")}</summary>
        <${More} form=${form} set=${set} />
      </details>
      <div class="row">
        <button type="submit" class="main" disabled=${!ready}>${t("speak.go")}</button>
        <button type="button" disabled=${!current.value?.busy} onClick=${() => current.value.stop()}>${t("stop")}</button>
        <span class="hint keys">${t("speak.keys")}</span>
      </div>
    </form>
    ${shown.value ? html`<${Result} ...${shown.value} key=${shown.value.run} />` : html`<${NoResult} />`}
  </div>`;
}

function asked(query) {
  return query.has("voice") ? { voice: query.get("voice") } : {};
}

/** The voice of that id if it is still there, else the first. */
function chosen(id) {
  const found = voices.value ?? [];
  return found.some((voice) => voice.id === id) ? id : (found[0]?.id ?? "");
}

function start(form) {
  const options = {
    voice: chosen(form.voice),
    ...(form.mode !== "auto" && { mode: form.mode }),
    speed: form.speed,
    gain_db: form.gain_db,
    ...(form.mode === "instruct" && { instruction: form.instruction }),
    ...(form.rate && { sample_rate_hz: Number(form.rate) }),
    ...(form.locked && form.seed !== "" && { seed: Number(form.seed) }),
  };
  const run = speak(options, { text: form.text, live: form.live });
  run.finished.then((whole) => whole && keep(run, form.text, form.format)).catch(run.complain);
  return run;
}

function Text({ value, set }) {
  const bytes = new TextEncoder().encode(value).length;
  return html`<div class="field">
    <label for="text">${t("speak.text")}</label>
    <textarea
      id="text"
      rows="5"
      value=${value}
      maxlength=${info.value?.limits.max_text_characters}
      aria-describedby="counter"
      onInput=${(event) => set({ text: event.target.value })}
    ></textarea>
    <p id="counter" class="hint">${t("speak.counter", { n: number([...value].length), bytes: number(bytes) })}</p>
  </div>`;
}

function Instruction({ value, set }) {
  return html`<div class="field">
    <label for="instruction">${t("speak.instruction")}</label>
    <input id="instruction" value=${value} maxlength="512" onInput=${(event) => set({ instruction: event.target.value })} />
    ${Object.entries(EXAMPLES).map(
      ([group, examples]) => html`<div class="chips" role="group" aria-label=${t(`examples.${group}`)} key=${group}>
        <span class="hint">${t(`examples.${group}`)}</span>
        ${Object.entries(examples).map(
          ([name, instruction]) => html`<button key=${name} type="button" class="chip" onClick=${() => set({ instruction })}>
            ${t(`example.${name}`)}
          </button>`,
        )}
      </div>`,
    )}
  </div>`;
}

function More({ form, set }) {
  const rates = (info.value?.sample_rates_hz ?? []).map((rate) => [String(rate), `${number(rate)} Hz`]);
  const formats = formatsOf(form.mode, info.value?.formats ?? ["wav"]);
  return html`<div class="grid">
      <${Slider}
        id="speed"
        label=${t("speak.speed")}
        shown=${`${number(form.speed, 2)}×`}
        value=${form.speed}
        min="0.5"
        max="2"
        step="0.05"
        onchange=${(speed) => set({ speed })}
      />
      <${Slider}
        id="gain"
        label=${t("speak.volume")}
        shown=${`${number(form.gain_db)} dB`}
        value=${form.gain_db}
        min="-10"
        max="10"
        step="1"
        onchange=${(gain_db) => set({ gain_db })}
      />
      <${Select}
        id="format"
        label=${t("speak.format")}
        value=${form.format}
        options=${formats.map((each) => [each, each.toUpperCase()])}
        onchange=${(format) => set({ format })}
      />
      <${Select}
        id="rate"
        label=${t("speak.rate")}
        value=${form.rate}
        options=${[["", t("speak.rate.model")], ...rates]}
        onchange=${(rate) => set({ rate })}
      />
      <${Seed} form=${form} set=${set} />
    </div>
    <${Check} id="live" label=${t("speak.live")} checked=${form.live} onchange=${(live) => set({ live })} />`;
}

function Seed({ form, set }) {
  const lock = (locked) => set({ locked, seed: locked ? (current.value?.seed.value ?? drawn()) : "" });
  return html`<div class="field">
    <label for="seed">${t("fact.seed")}</label>
    <input
      id="seed"
      type="number"
      min="0"
      max=${MAX_SEED - 1}
      disabled=${!form.locked}
      value=${form.locked ? form.seed : ""}
      placeholder=${t("speak.drawn")}
      onInput=${(event) => set({ seed: event.target.value })}
    />
    <${Check} id="locked" label=${t("speak.locked")} checked=${form.locked} onchange=${lock} />
  </div>`;
}

function drawn() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

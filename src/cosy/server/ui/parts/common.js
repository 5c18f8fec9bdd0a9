// Small pieces that several pages use.

import { ApiError } from "../api.js";
import { html, useState } from "../lib.js";
import { t } from "../i18n.js";

const KNOWN = [
  ...["aborted", "offline", "unauthorized", "forbidden", "rate_limited", "overloaded", "too_large", "bad_audio"],
  ...["unknown_voice", "not_found", "internal", "microphone"],
];

export function Brand() {
  return html`<span class="brand"><img src=${new URL("../icon.svg", import.meta.url).href} alt="" />Cosy</span>`;
}

/** A failure in plain words, the server's own below them. */
export function Failure({ error }) {
  if (!error) return null;
  const code = error instanceof ApiError ? error.code : "";
  const title = KNOWN.includes(code) ? t(`error.${code}`) : t("error.other");
  return html`<div class="notice bad" role="alert" data-code=${code || "other"}>
    <strong>${title}</strong>
    ${error.message && html`<span lang="en">${error.message}</span>`}
    ${code === "unauthorized" && html`<a href="#/settings">${t("error.unauthorized.do")}</a>`}
    ${error.retry_after_s && html`<span>${t("error.retry", { n: Math.ceil(error.retry_after_s) })}</span>`}
  </div>`;
}

/** A button that puts a text into the clipboard, and says so. */
export function Copy({ text, label = t("copy"), look = "quiet" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (!(await toClipboard(text))) return;
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" class=${look} onClick=${copy}>
    ${done ? t("copied") : label}<span class="unseen" role="status">${done ? t("copied") : ""}</span>
  </button>`;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return byHand(text); // plain http has no clipboard of that kind
  }
}

function byHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A colour of the style sheet as it is now, for what is drawn on a canvas. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Choices as a list; the value is a string. */
export function Select({ id, label, value, options, onchange }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onchange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select>
  </div>`;
}

export function Slider({ id, label, value, shown, min, max, step, onchange }) {
  return html`<div class="field">
    <label for=${id}>${label} <output for=${id}>${shown}</output></label>
    <input
      id=${id}
      type="range"
      min=${min}
      max=${max}
      step=${step}
      value=${value}
      aria-valuetext=${shown}
      onInput=${(event) => onchange(Number(event.target.value))}
    />
  </div>`;
}

export function Check({ id, label, checked, onchange }) {
  return html`<div class="check">
    <input id=${id} type="checkbox" checked=${checked} onChange=${(event) => onchange(event.target.checked)} />
    <label for=${id}>${label}</label>
  </div>`;
}

export function Fact({ name, children, label }) {
  return html`<div class="fact"><dt>${label}</dt><dd data-fact=${name}>${children}</dd></div>`;
}

/** Voices to choose from, presets first. */
export function voiceOptions(voices) {
  return (voices ?? []).map((voice) => [voice.id, voice.name]);
}

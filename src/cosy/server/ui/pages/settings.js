// What this browser remembers.

import { info } from "../api.js";
import { html, useState } from "../lib.js";
import { LANGUAGES, number, t, useLanguage } from "../i18n.js";
import { Select, Slider } from "../parts/common.js";
import { prefs } from "../prefs.js";

export default function Settings() {
  const language = (code) => {
    prefs.language.value = code;
    useLanguage(code);
  };
  return html`<div class="card narrow">
    <${Key} />
    <${Select}
      id="language"
      label=${t("settings.language")}
      value=${prefs.language.value}
      options=${[["", t("settings.language.auto")], ...Object.entries(LANGUAGES)]}
      onchange=${language}
    />
    <${Select}
      id="theme"
      label=${t("settings.theme")}
      value=${prefs.theme.value}
      options=${["auto", "light", "dark"].map((each) => [each, t(`settings.theme.${each}`)])}
      onchange=${(theme) => (prefs.theme.value = theme)}
    />
    <${Slider}
      id="buffer"
      label=${t("settings.buffer")}
      shown=${`${number(prefs.buffer_ms.value)} ms`}
      value=${prefs.buffer_ms.value}
      min="50"
      max="2000"
      step="50"
      onchange=${(ms) => (prefs.buffer_ms.value = ms)}
    />
    <${Slider}
      id="kept"
      label=${t("settings.kept")}
      shown=${number(prefs.kept.value)}
      value=${prefs.kept.value}
      min="10"
      max="500"
      step="10"
      onchange=${(kept) => (prefs.kept.value = kept)}
    />
  </div>`;
}

function Key() {
  const [value, setValue] = useState(prefs.key.peek());
  const save = (event) => {
    event.preventDefault();
    prefs.key.value = value.trim();
  };
  return html`<form class="field" onSubmit=${save}>
    <label for="key">${t("settings.key")}</label>
    <div class="row">
      <input id="key" class="grow" type="password" autocomplete="off" value=${value} aria-describedby="keyhint" onInput=${(event) => setValue(event.target.value)} />
      <button type="submit">${t("save")}</button>
    </div>
    <p id="keyhint" class="hint">
      ${t("settings.key.hint")} ${info.value && t(info.value.needs_key ? "settings.key.needed" : "settings.key.open")}
    </p>
  </form>`;
}

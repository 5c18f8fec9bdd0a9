// What was made in this browser: replay, compare, download, subtitles.

import { entries, forget, forgetAll, read } from "../history.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { moment, number, seconds, t } from "../i18n.js";
import { Failure } from "../parts/common.js";
import { Files } from "../parts/result.js";
import { Recording } from "../parts/waveform.js";

export default function History() {
  const [error, setError] = useState(null);
  const [picked, setPicked] = useState([]);
  useEffect(() => void read().catch(setError), []);
  const all = entries.value;
  const pick = (id) => setPicked((was) => (was.includes(id) ? was.filter((each) => each !== id) : [...was, id].slice(-2)));
  const both = picked.map((id) => all?.find((each) => each.id === id)).filter(Boolean);
  const remove = (id) => forget(id).catch(setError);
  return html`<div class="stack">
    <p>${t("history.about")}</p>
    <${Failure} error=${error} />
    ${both.length === 2 && html`<${Comparison} key=${picked.join()} a=${both[0]} b=${both[1]} />`}
    ${all?.length === 0 && html`<p>${t("history.none")}</p>`}
    ${all?.length > 1 && both.length < 2 && html`<p class="hint">${t("history.compare.hint")}</p>`}
    <ul class="list two">
      ${all?.map(
        (entry) => html`<${Entry} key=${entry.id} entry=${entry} picked=${picked.includes(entry.id)} pick=${pick} remove=${remove} />`,
      )}
    </ul>
    ${all?.length > 0 && html`<${Clear} />`}
  </div>`;
}

function Entry({ entry, picked, pick, remove }) {
  const [open, setOpen] = useState(false);
  const box = `compare-${entry.id}`;
  return html`<li>
    <div class="top">
      <h2 class="clamp">${entry.text}</h2>
      <span class="check">
        <input id=${box} type="checkbox" checked=${picked} onChange=${() => pick(entry.id)} />
        <label for=${box}>${t("history.compare")}</label>
      </span>
    </div>
    <p class="hint">
      ${[moment(entry.made_at), entry.voice_name, seconds(entry.duration_s), `${t("fact.rtf")} ${number(entry.rtf, 2)}`, `${t("fact.seed")} ${entry.options.seed}`].join(" · ")}
    </p>
    ${open && html`<${Recording} blob=${entry.audio} label=${entry.text.slice(0, 80)} />`}
    <div class="row">
      ${!open && html`<button type="button" onClick=${() => setOpen(true)}>${t("history.replay")}</button>`}
      <${Files}
        blob=${entry.audio}
        options=${entry.options}
        text=${entry.text}
        format=${entry.format}
        segments=${entry.segments}
        name=${`cosy-${entry.id}`}
      />
      <button type="button" class="quiet" onClick=${() => remove(entry.id)}>${t("history.delete")}</button>
    </div>
  </li>`;
}

/** Two recordings under one button: it goes on in the other where it was in the one. */
function Comparison({ a, b }) {
  const urls = useMemo(() => [a, b].map((each) => URL.createObjectURL(each.audio)), []);
  const players = [useRef(null), useRef(null)];
  const [now, setNow] = useState(0);
  const [begun, setBegun] = useState(false);
  useEffect(() => () => urls.forEach((url) => URL.revokeObjectURL(url)), []);
  const press = () => {
    const next = begun ? 1 - now : 0;
    const [other, player] = [players[1 - next].current, players[next].current];
    other.pause();
    player.currentTime = begun && !other.ended ? Math.min(other.currentTime, player.duration || 0) : 0;
    player.play();
    setNow(next);
    setBegun(true);
  };
  const name = (i) => `${"AB"[i]} (${[a, b][i].voice_name})`;
  return html`<section class="card" aria-labelledby="comparing">
    <h2 id="comparing">${t("history.comparing")}</h2>
    ${[a, b].map((each, i) => html`<p class="clamp" key=${i}><strong>${"AB"[i]}</strong> · ${each.voice_name} · ${each.text}</p>`)}
    <div class="row">
      <button type="button" class="main" onClick=${press}>
        ${begun ? t("history.switch", { which: name(1 - now) }) : t("history.play", { which: name(0) })}
      </button>
      <span role="status">${begun && t("history.hearing", { which: name(now) })}</span>
    </div>
    ${urls.map((url, i) => html`<audio key=${i} ref=${players[i]} src=${url} preload="auto"></audio>`)}
  </section>`;
}

function Clear() {
  const dialog = useRef(null);
  const sure = () => {
    dialog.current.close();
    forgetAll();
  };
  return html`<div><button type="button" class="quiet" onClick=${() => dialog.current.showModal()}>${t("history.clear")}</button></div>
    <dialog ref=${dialog} aria-label=${t("history.clear")}>
      <p>${t("history.clear.sure")}</p>
      <div class="row">
        <button type="button" class="main" onClick=${sure}>${t("history.clear")}</button>
        <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
      </div>
    </dialog>`;
}

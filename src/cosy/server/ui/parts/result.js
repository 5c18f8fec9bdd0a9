// What a run is giving: waveform, figures, segments; and files once it is done.

import { call } from "../api.js";
import { encoded } from "../encoded.js";
import { html, useEffect, useMemo, useState } from "../lib.js";
import { number, seconds, t } from "../i18n.js";
import { srt, vtt } from "../subtitles.js";
import { Sayings } from "./advice.js";
import { Fact, Failure, download } from "./common.js";
import { LiveWaveform, Recording } from "./waveform.js";

export function Result({ run, text, format = "wav" }) {
  const state = run.state.value;
  const over = ["done", "stopped", "failed"].includes(state);
  return html`<section class="card" aria-labelledby="result" data-state=${state}>
    <h2 id="result">${t("result.title")} <span class="state" role="status">${t(`state.${state}`)}</span></h2>
    <${Failure} error=${run.error.value} />
    ${run.warnings.value.length > 0 &&
    html`<div class="notice"><${Sayings} texts=${run.warnings.value} /></div>`}
    <${Figures} run=${run} />
    ${over && run.pieces.length ? html`<${Finished} run=${run} text=${text} format=${format} />` : html`<${LiveWaveform} run=${run} />`}
    <${Segments} run=${run} text=${text} />
  </section>`;
}

function Figures({ run }) {
  return html`<dl class="facts">
    <${Fact} name="first_audio" label=${t("fact.first_audio")}>${seconds(run.first_audio_s.value)}<//>
    <${Fact} name="rtf" label=${t("fact.rtf")}>${number(run.rtf.value, 2)}<//>
    <${Fact} name="duration" label=${t("fact.duration")}>${seconds(run.duration_s.value)}<//>
    <${Fact} name="underruns" label=${t("fact.underruns")}>${number(run.underruns.value)}<//>
    <${Fact} name="seed" label=${t("fact.seed")}>${run.seed.value ?? "–"}<//>
  </dl>`;
}

function Finished({ run, text, format }) {
  const blob = useMemo(() => run.wav, [run, run.state.value]);
  const options = { ...run.options, seed: run.seed.value };
  return html`<${Recording} blob=${blob} label=${t("result.title")}>
    <${Files} blob=${blob} options=${options} text=${text} format=${format} segments=${run.segments.value} />
  <//>`;
}

/** Where a result will be. */
export function NoResult() {
  return html`<section class="card empty" aria-label=${t("result.title")}><p class="hint">${t("result.empty")}</p></section>`;
}

/** Buttons for the audio in some format, and subtitles. */
export function Files({ blob, options, text, format, segments, name = "cosy" }) {
  const [error, setError] = useState(null);
  const [making, setMaking] = useState(false);
  const wav = () => download(blob, `${name}.wav`);
  const other = async () => {
    setMaking(true);
    setError(null);
    await encoded(options, text, format).then((made) => download(made, `${name}.${format}`), setError);
    setMaking(false);
  };
  return html`<button type="button" onClick=${wav}>${t("download", { format: "WAV" })}</button>
    ${format !== "wav" &&
    html`<button type="button" disabled=${making} title=${t("download.again")} onClick=${other}>
      ${t("download", { format: format.toUpperCase() })}
    </button>`}
    ${segments.length > 0 &&
    html`<button type="button" class="quiet" onClick=${() => download(srt(segments), `${name}.srt`)}>SRT</button>
      <button type="button" class="quiet" onClick=${() => download(vtt(segments), `${name}.vtt`)}>VTT</button>`}
    <${Failure} error=${error} />`;
}

/** The stretches of the text; the one that is being spoken stands out. */
function Segments({ run, text }) {
  const [planned, setPlanned] = useState([]);
  useEffect(() => {
    setPlanned([]);
    if (!text.trim()) return;
    call("POST", "cosy/v1/segments", { json: { text, language: "" } })
      .then(({ segments }) => setPlanned(segments.map((each) => each.text)))
      .catch(() => undefined); // the plan is a nicety
  }, [run]);
  const made = run.segments.value;
  const known = new Map(made.map((each) => [each.index, each.text]));
  const count = Math.max(planned.length, made.length);
  if (count < 2) return null;
  const now = run.busy && run.position_s.value > 0 ? spoken(made, run.position_s.value) : -1;
  return html`<ol class="segments" aria-label=${t("segments")}>
    ${Array.from({ length: count }, (_, i) => {
      const words = known.get(i) || planned[i] || "";
      return html`<li key=${i} class=${known.has(i) ? "made" : ""} aria-current=${i === now ? "true" : undefined}>${words}</li>`;
    })}
  </ol>`;
}

function spoken(made, position_s) {
  const at = made.findIndex((each) => position_s < each.end_s);
  return at < 0 ? made.length : at; // beyond what was told: the one that is being made
}

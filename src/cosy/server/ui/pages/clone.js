// From a recording to a voice id: record or drop, trim, check, name, make, try.

import { ApiError, call, info, loadVoices } from "../api.js";
import { cut, decoded } from "../audio/wav.js";
import { html, useEffect, useState } from "../lib.js";
import { number, t } from "../i18n.js";
import { Sayings } from "../parts/advice.js";
import { Check, Copy, Failure } from "../parts/common.js";
import { Recorder } from "../parts/recorder.js";
import { Recording, Trim } from "../parts/waveform.js";
import { SNIPPETS } from "../parts/snippets.js";

const SETTLE_MS = 400; // after the last change, before the server is asked again

export default function Clone() {
  const [source, setSource] = useState(null); // {blob, name, buffer or null}
  const [clip, setClip] = useState(null); // what would be sent: {blob, name}
  const [voice, setVoice] = useState(null);
  const [error, setError] = useState(null);
  const take = async (blob, name) => {
    setError(null);
    const buffer = await decoded(blob).catch(() => null);
    setSource({ blob, name, buffer });
    setClip({ blob: blob.type.startsWith("audio/webm") && buffer ? cut(buffer, 0, longest()) : blob, name });
  };
  const again = () => (setSource(null), setClip(null), setVoice(null));
  if (voice) return html`<${Made} voice=${voice} again=${again} />`;
  return html`<div class="sides">
    <div class="stack">
      <${Source} name=${source?.name} take=${take} onerror=${setError} />
      <${Failure} error=${error} />
      ${source && html`<${Stretch} source=${source} key=${source.blob} setClip=${setClip} />`}
    </div>
    ${clip && html`<div class="stack"><${About} clip=${clip} done=${setVoice} /></div>`}
  </div>`;
}

const longest = () => info.value?.limits.recording_s[1] ?? 30; // seconds

function Source({ name, take, onerror }) {
  const [over, setOver] = useState(false);
  const given = (files) => files[0] && take(files[0], files[0].name);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    given(event.dataTransfer.files);
  };
  const hover = (event) => (event.preventDefault(), setOver(true));
  return html`<section class="card" aria-labelledby="source">
    <h2 id="source">${t("clone.source")}</h2>
    <p>${t("clone.about")}</p>
    <div class=${over ? "zone drop over" : "zone drop"} onDragOver=${hover} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <input id="file" class="unseen" type="file" accept="audio/*,video/webm,video/mp4" onChange=${(event) => given(event.target.files)} />
      <label class="button main" for="file">${t("clone.file")}</label>
      <span class="hint">${name ?? t("clone.drop")}</span>
    </div>
    <${Recorder} most_s=${longest()} ondone=${(blob) => take(blob, "recording.webm")} onerror=${onerror} />
  </section>`;
}

function Stretch({ source, setClip }) {
  const { blob, buffer, name } = source;
  const range = (from, to) => setClip({ blob: cut(buffer, from, to), name: name.replace(/(\.\w+)?$/, ".wav") });
  return html`<section class="card" aria-labelledby="trim">
    <h2 id="trim">${t("clone.trim")}</h2>
    ${buffer
      ? html`<${Trim} blob=${blob} duration_s=${buffer.duration} most_s=${longest()} onrange=${range} />`
      : html`<p class="notice">${t("clone.unreadable")}</p>`}
  </section>`;
}

function About({ clip, done }) {
  const [form, setForm] = useState({ name: "", transcript: "", consent: false });
  const [verdict, setVerdict] = useState(null);
  const [error, setError] = useState(null);
  const [making, setMaking] = useState(false);
  const set = (change) => setForm((was) => ({ ...was, ...change }));
  useChecked(clip, form.transcript, setVerdict, setError);
  const ready = verdict?.ok && form.name.trim() && form.consent && !making;
  const make = async (event) => {
    event.preventDefault();
    if (!ready) return;
    setMaking(true);
    setError(null);
    const fields = { name: form.name.trim(), transcript: form.transcript, consent: t("clone.consent.note") };
    try {
      const voice = await call("POST", "cosy/v1/voices", { form: formOf(clip, fields) });
      await loadVoices();
      done(voice);
    } catch (failure) {
      setError(failure);
    }
    setMaking(false);
  };
  return html`<${Verdict} verdict=${verdict} clip=${clip} />
    <form class="card" onSubmit=${make} aria-labelledby="about">
      <h2 id="about">${t("clone.about_voice")}</h2>
      <div class="field">
        <label for="name">${t("clone.name")}</label>
        <input id="name" value=${form.name} maxlength="64" required onInput=${(event) => set({ name: event.target.value })} />
      </div>
      <${Transcript} clip=${clip} value=${form.transcript} set=${set} onerror=${setError} />
      <${Check} id="consent" label=${t("clone.consent")} checked=${form.consent} onchange=${(consent) => set({ consent })} />
      <${Failure} error=${error} />
      <div class="row"><button type="submit" class="main" disabled=${!ready}>${making ? t("clone.making") : t("clone.make")}</button></div>
    </form>`;
}

function Transcript({ clip, value, set, onerror }) {
  const propose = () =>
    call("POST", "cosy/v1/transcriptions", { form: formOf(clip) }).then(({ text }) => set({ transcript: text }), onerror);
  return html`<div class="field">
    <label for="transcript">${t("clone.transcript")}</label>
    <textarea id="transcript" rows="2" value=${value} aria-describedby="words" onInput=${(event) => set({ transcript: event.target.value })}></textarea>
    <p id="words" class="hint">${t("clone.transcript.hint")}</p>
    ${info.value?.transcription && html`<div><button type="button" onClick=${propose}>${t("clone.propose")}</button></div>`}
  </div>`;
}

function formOf(clip, fields = {}) {
  const form = new FormData();
  form.append("file", clip.blob, clip.name);
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

/** Asks the server what it thinks of a clip, a moment after the last change. */
function useChecked(clip, transcript, setVerdict, onerror) {
  useEffect(() => {
    const abort = new AbortController();
    setVerdict(null);
    const timer = setTimeout(async () => {
      try {
        const form = formOf(clip, { transcript });
        const verdict = await call("POST", "cosy/v1/voices/check", { form, signal: abort.signal });
        onerror(null);
        setVerdict(verdict);
      } catch (error) {
        if (!(error instanceof ApiError && error.code === "aborted")) onerror(error);
      }
    }, SETTLE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [clip, transcript]);
}

function Verdict({ verdict, clip }) {
  return html`<section class="card" aria-labelledby="check" data-check=${verdict ? (verdict.ok ? "ok" : "bad") : "running"}>
    <h2 id="check">${t("clone.check")}</h2>
    <${Recording} blob=${clip.blob} key=${clip.blob} label=${t("clone.check")} spectrogram=${false} />
    <div role="status">${verdict ? html`<${Advice} ...${verdict} />` : html`<p>${t("clone.checking")}</p>`}</div>
  </section>`;
}

function Advice({ ok, warnings, duration_s, level_dbfs, speech_s }) {
  const title = ok ? t(warnings.length ? "clone.usable" : "clone.good") : t("clone.unusable");
  return html`<div class=${ok ? "notice" : "notice bad"}>
    <strong>${title}</strong>
    <${Sayings} texts=${warnings} />
    ${duration_s !== null &&
    html`<span>
      ${t("clone.details", { duration: number(duration_s, 1), speech: number(speech_s, 1), level: number(level_dbfs, 0) })}
    </span>`}
  </div>`;
}

function Made({ voice, again }) {
  const [shown, setShown] = useState("curl");
  const code = SNIPPETS[shown](voice.uri);
  return html`<section class="card narrow" aria-labelledby="made">
    <h2 id="made">${t("clone.made")}</h2>
    <p>${t("clone.id")}</p>
    <code class="id" data-uri>${voice.uri}</code>
    <div class="row">
      <${Copy} text=${voice.uri} label=${t("voices.copy")} look="main" />
      <a class="button" href=${`#/speak?voice=${encodeURIComponent(voice.id)}`}>${t("voices.speak")}</a>
      <button type="button" class="quiet" onClick=${again}>${t("clone.another")}</button>
    </div>
    ${voice.warnings.length > 0 && html`<div class="notice"><${Sayings} texts=${voice.warnings} /></div>`}
    <h3>${t("clone.snippets")}</h3>
    <div class="chips" role="group" aria-label=${t("clone.snippets")}>
      ${Object.keys(SNIPPETS).map(
        (name) => html`<button key=${name} type="button" class="chip" aria-pressed=${name === shown ? "true" : "false"} onClick=${() => setShown(name)}>
          ${name}
        </button>`,
      )}
    </div>
    <pre tabindex="0" aria-label=${shown}><code>${code}</code></pre>
    <div><${Copy} text=${code} look="" /></div>
  </section>`;
}

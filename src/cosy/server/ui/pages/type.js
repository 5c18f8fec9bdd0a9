// Text goes out while it is typed, audio comes back meanwhile.

import { info, voices } from "../api.js";
import { keep } from "../history.js";
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { number, t } from "../i18n.js";
import { Select, voiceOptions } from "../parts/common.js";
import { NoResult, Result } from "../parts/result.js";
import { speak } from "../speech.js";

const BOUNDARY = /[\s\p{P}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u; // a word has ended here
const WORDS = /[\s\S]{1,6}?(?:[\s。、，,]+|$)|[\s\S]{6}/g; // of the example, as they come
const WORD_MS = 120;
const ALIVE_MS = 20000; // between signs of life: whoever thinks for a minute would be hung up on

/** The part of a text that can go out: up to the last word that is complete. */
function complete(text) {
  const letters = [...text];
  const last = letters.findLastIndex((letter) => BOUNDARY.test(letter));
  return letters.slice(0, last + 1).join("");
}

/** A text that is being written.  What was sent of it cannot be taken back. */
class Session {
  text = signal("");
  run = signal(null);
  ended = signal(false);
  sent = "";

  /** Whether more may be written. */
  get open() {
    const state = this.run.value?.state.value ?? "connecting";
    return !this.ended.value && (state === "connecting" || state === "speaking");
  }

  /** The text as it is now, or as near to that as what was sent allows.  What is complete goes out. */
  write(text, voice) {
    this.text.value = text.startsWith(this.sent) ? text : this.sent + this.text.value.slice(this.sent.length);
    this.pass(complete(this.text.value), voice);
  }

  pass(text, voice) {
    const fresh = text.slice(this.sent.length);
    if (!fresh || !this.open) return;
    this.run.value ??= this.begin(voice);
    this.run.value.send(fresh);
    this.sent += fresh;
  }

  begin(voice) {
    const run = speak({ voice });
    const alive = setInterval(() => run.send(""), ALIVE_MS);
    run.finished.then((whole) => (clearInterval(alive), whole && keep(run, this.sent))).catch(run.complain);
    return run;
  }

  end(voice) {
    if (!this.open) return;
    this.pass(this.text.value, voice);
    this.ended.value = true;
    this.run.value?.end();
  }
}

const session = signal(new Session()); // the latest, also after a visit to another page

export default function Type() {
  const [voice, setVoice] = useState("");
  const area = useRef(null);
  const typing = useRef(0);
  const { text, run, open } = session.value;
  const chosen = voice || voices.value?.[0]?.id;
  const input = () => {
    session.value.write(area.current.value, chosen);
    area.current.value = session.value.text.value;
  };
  const typed = (event) => (event.isComposing ? (text.value = event.target.value) : input());
  const quiet = () => clearInterval(typing.current);
  const finish = () => (quiet(), session.value.end(chosen));
  const again = () => {
    quiet();
    run.value?.stop();
    session.value = new Session();
  };
  const latest = useRef({});
  latest.current = { input, finish };
  const demo = () => {
    const words = t("type.sample").match(WORDS);
    typing.current = setInterval(() => {
      if (!words.length || !session.value.open) return quiet();
      area.current.value += words.shift();
      latest.current.input();
    }, WORD_MS);
  };
  useEffect(() => () => latest.current.finish(), []); // nobody writes on another page
  return html`<div class="sides">
    <div class="card">
      <p>${t("type.about")}</p>
      <${Select} id="voice" label=${t("speak.voice")} value=${chosen} options=${voiceOptions(voices.value)} onchange=${setVoice} />
      <div class="field">
        <label for="typed">${t("type.text")}</label>
        <textarea
          id="typed"
          rows="6"
          ref=${area}
          value=${text.value}
          readonly=${!open}
          maxlength=${info.value?.limits.max_text_characters}
          aria-describedby="sent"
          onInput=${typed}
          onCompositionEnd=${input}
        ></textarea>
        <p id="sent" class="hint">${t("type.sent", { n: number(run.value?.sent.value ?? 0) })}</p>
      </div>
      <div class="row">
        <button type="button" class="main" disabled=${!open || !text.value.trim()} onClick=${finish}>${t("type.finish")}</button>
        <button type="button" disabled=${!run.value?.busy} onClick=${() => (quiet(), run.value.stop())}>${t("stop")}</button>
        <button type="button" disabled=${!text.value} onClick=${again}>${t("type.again")}</button>
        <button type="button" class="quiet" disabled=${Boolean(text.value)} onClick=${demo}>${t("type.demo")}</button>
      </div>
    </div>
    ${run.value ? html`<${Result} run=${run.value} text="" key=${run.value} />` : html`<${NoResult} />`}
  </div>`;
}

// What the server says of a recording or of what it spoke, in the reader's language.  It speaks English; what is not known here stays so.

import { html } from "../lib.js";
import { t } from "../i18n.js";

export const SAYINGS = {
  short: /only (?<n>[\d.]+) s of speech; 5 to 15 s/,
  brief: /recording is only (?<n>[\d.]+) s long/,
  too_short: /recording is (?<n>[\d.]+) s long, (?:at least )?(?<least>[\d.]+)/,
  no_speech: /holds only (?<n>[\d.]+) s of speech/,
  silence: /recording holds only silence/,
  too_long: /longer than (?<most>[\d.]+) s and has a transcript/,
  cut: /only its first (?<n>[\d.]+) s are used/,
  edges: /(?<n>[\d.]+) % of the recording is silence/,
  pause: /a pause of (?<n>[\d.]+) s/,
  background: /only (?<n>[\d.]+) dB above its background/,
  quiet: /very quiet: (?<n>-?[\d.]+) dBFS/,
  clipped: /(?<n>[\d.]+) % of the samples are clipped/,
  words: /the transcript is very /,
  no_audio: /is not audio, or is damaged|is damaged or truncated|is truncated|has no sound track/,
  nothing: /the model said nothing for this text/,
  length: /cut off at the length limit/,
  early: /ended early: /,
  lost: /stopped after (?<n>\d+) speech tokens/,
};

function translated(text) {
  for (const [name, pattern] of Object.entries(SAYINGS)) {
    const found = pattern.exec(text);
    if (found) return t(`advice.${name}`, found.groups ?? {});
  }
  return null;
}

/** Each of them once. */
export function Sayings({ texts }) {
  const said = new Map(texts.map((text) => [translated(text) ?? text, translated(text) ? undefined : "en"]));
  return [...said].map(([text, lang]) => html`<span key=${text} lang=${lang}>${text}</span>`);
}

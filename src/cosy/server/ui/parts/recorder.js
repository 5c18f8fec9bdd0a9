// Recording with a level meter, by wavesurfer's record plugin.

import { ApiError } from "../api.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { number, t } from "../i18n.js";
import { waveSurfer } from "./waveform.js";

const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // the voice as it is
const FLOOR_DB = -60;

/** A button; `ondone(blob)` gets the recording, which ends by itself after `most_s`. */
export function Recorder({ most_s, ondone, onerror }) {
  const [going, setGoing] = useState(false);
  const [passed_s, setPassed] = useState(0);
  const [level_db, setLevel] = useState(FLOOR_DB);
  const box = useRef(null);
  const tools = useRef(null);
  const close = () => {
    tools.current?.close();
    tools.current = null;
  };
  useEffect(() => close, []);
  const begin = async () => {
    try {
      tools.current = await opened(box.current, { setPassed, setLevel, most_s });
    } catch (error) {
      return onerror(new ApiError("microphone", error.message));
    }
    setGoing(true);
    tools.current.record.once("record-end", (blob) => {
      close();
      setGoing(false);
      ondone(blob);
    });
  };
  if (!navigator.mediaDevices) return html`<p class="hint">${t("clone.insecure")}</p>`;
  return html`<div class="zone">
    <button type="button" onClick=${going ? () => tools.current.record.stopRecording() : begin}>
      ${going ? t("clone.record.stop") : t("clone.record")}
    </button>
    <span class="hint">${going ? t("clone.recording", { n: number(passed_s, 1) }) : t("clone.record.hint")}</span>
    ${going && html`<meter class="meter" min=${FLOOR_DB} max="0" low="-40" high="-3" optimum="-15" value=${level_db} aria-label=${t("clone.level")}></meter>`}
    <div class="wave" hidden=${!going} aria-hidden="true" ref=${box}></div>
  </div>`;
}

async function opened(container, { setPassed, setLevel, most_s }) {
  const { default: Record } = await import("../vendor/wavesurfer-record.js");
  const record = Record.create({ renderRecordedAudio: false, scrollingWaveform: true });
  const surfer = await waveSurfer(container, { plugins: [record], interact: false });
  const stream = await record.startMic(UNTOUCHED);
  const meter = metered(stream, setLevel);
  record.on("record-progress", (ms) => {
    setPassed(ms / 1000);
    if (ms >= 1000 * most_s) record.stopRecording();
  });
  await record.startRecording(UNTOUCHED);
  const close = () => {
    meter();
    record.stopMic();
    setTimeout(() => surfer.destroy()); // not while it is telling of the end
  };
  return { record, close };
}

/** Tells the level of a stream a few times a second; the answer ends it. */
function metered(stream, setLevel) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    setLevel(Math.max(FLOOR_DB, 10 * Math.log10(power + 1e-10)));
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

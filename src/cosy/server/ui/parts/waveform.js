// Waveforms, by wavesurfer.js, which is loaded when the first one is drawn.

import { html, useEffect, useRef, useState } from "../lib.js";
import { t } from "../i18n.js";
import { colour } from "./common.js";

const HEIGHT = 88; // px; also in the style element that the Content-Security-Policy knows by its hash
const REDRAW_MS = 150;
const SPECTRUM_RATE_HZ = 24000; // wavesurfer decodes to 8 kHz unless told otherwise
const SPECTRUM = { fftSamples: 512, height: 160, labels: true, scale: "mel", frequencyMax: 12000 };

const load = (name) => import(`../vendor/${name}.js`).then((module) => module.default);

const colours = () => ({ waveColor: colour("wave"), progressColor: colour("accent"), cursorColor: colour("text") });

export async function waveSurfer(container, options = {}) {
  const WaveSurfer = await load("wavesurfer");
  return WaveSurfer.create({ container, height: HEIGHT, barWidth: 2, barGap: 1, normalize: false, ...colours(), ...options });
}

/** The waveform of a run, growing while audio comes, and where the ear is. */
export function LiveWaveform({ run }) {
  const box = useRef(null);
  const cursor = useRef(null);
  useEffect(() => {
    let surfer = null;
    let gone = false;
    let shown = -1;
    const draw = () => {
      const { duration_s, values } = run.peaks ?? { duration_s: 0, values: [] };
      if (!surfer || !cursor.current || !duration_s) return;
      cursor.current.style.left = `${(100 * run.position_s.peek()) / duration_s}%`;
      if (shown === values.length) return;
      shown = values.length;
      surfer.load("", [values.slice()], duration_s).catch(() => undefined); // superseded by the next
    };
    waveSurfer(box.current, { interact: false, cursorWidth: 0 }).then((made) => {
      if (gone) return made.destroy();
      surfer = made;
      draw();
    });
    const timer = setInterval(draw, REDRAW_MS);
    return () => {
      gone = true;
      clearInterval(timer);
      surfer?.destroy();
    };
  }, [run]);
  return html`<div class="wave" role="img" aria-label=${t("wave.live")}>
    <div ref=${box}></div>
    <div class="ear" ref=${cursor}></div>
  </div>`;
}

/** A recording: waveform, the browser's own player, spectrogram on demand, and whatever else one may do with it. */
export function Recording({ blob, label, spectrogram = true, children }) {
  const [spectrum, showSpectrum] = useState(false);
  const toggle = html`<button type="button" aria-pressed=${spectrum ? "true" : "false"} onClick=${() => showSpectrum(!spectrum)}>
    ${t("wave.spectrogram")}
  </button>`;
  return html`<div class="stack">
    <${Drawn} key=${spectrum} blob=${blob} label=${label} spectrum=${spectrum} />
    <div class="row">${children} ${spectrogram && toggle}</div>
  </div>`;
}

/** Made anew for every change: wavesurfer fetches what a used audio element holds, and no page may fetch blobs. */
function Drawn({ blob, label, spectrum }) {
  const box = useRef(null);
  const audio = useRef(null);
  useEffect(() => {
    let surfer = null;
    let gone = false;
    const draw = async (container, media) => {
      const plugins = spectrum ? [(await load("wavesurfer-spectrogram")).create(SPECTRUM)] : [];
      const made = await waveSurfer(container, { media, plugins, sampleRate: SPECTRUM_RATE_HZ });
      if (gone) return made.destroy();
      surfer = made;
      await made.loadBlob(blob).catch(() => undefined); // the player says so itself, if it cannot
    };
    draw(box.current, audio.current); // the references are empty once the page is left, which a load may outlast
    return () => {
      gone = true;
      surfer?.destroy();
    };
  }, []);
  return html`<div class="wave" aria-hidden="true" ref=${box}></div>
    <audio controls ref=${audio} aria-label=${label}></audio>`;
}

/** A recording with a stretch to choose.  `onrange(from_s, to_s)` hears of every change. */
export function Trim({ blob, duration_s, most_s, onrange }) {
  const box = useRef(null);
  const region = useRef(null);
  const [range, setRange] = useState([0, Math.min(duration_s, most_s)]);
  const changed = (from, to) => {
    setRange([from, to]);
    onrange(from, to);
  };
  useEffect(() => {
    let surfer = null;
    let gone = false;
    const draw = async (container) => {
      const regions = (await load("wavesurfer-regions")).create();
      const made = await waveSurfer(container, { plugins: [regions], dragToSeek: false });
      if (gone) return made.destroy();
      surfer = made;
      await made.loadBlob(blob);
      region.current = regions.addRegion({ start: 0, end: Math.min(duration_s, most_s), color: colour("stretch") });
      region.current.on("update-end", () => changed(region.current.start, region.current.end));
    };
    draw(box.current).catch(() => undefined);
    return () => {
      gone = true;
      surfer?.destroy();
    };
  }, [blob]);
  const typed = (which) => (event) => {
    const value = Number(event.target.value);
    const [from, to] = which === 0 ? [Math.min(value, range[1] - 0.1), range[1]] : [range[0], Math.max(value, range[0] + 0.1)];
    region.current?.setOptions({ start: from, end: to });
    changed(from, to);
  };
  const field = (which, key) => html`<label
    >${t(key)}
    <input type="number" min="0" max=${duration_s.toFixed(2)} step="0.1" value=${range[which].toFixed(2)} onChange=${typed(which)} />
  </label>`;
  return html`<div class="trim stack">
    <div class="wave" aria-hidden="true" ref=${box}></div>
    <div class="row">${field(0, "trim.from")} ${field(1, "trim.to")}</div>
  </div>`;
}

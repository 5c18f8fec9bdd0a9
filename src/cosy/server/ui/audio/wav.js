// Samples and WAV files.

/** A WAV file, 16 bit mono, of Int16Arrays in a row. */
export function wavOf(pieces, rate_hz) {
  const length = pieces.reduce((sum, piece) => sum + 2 * piece.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  const put = (at, text) => [...text].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  put(0, "RIFF");
  head.setUint32(4, 36 + length, true);
  put(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate_hz, true);
  head.setUint32(28, 2 * rate_hz, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  put(36, "data");
  head.setUint32(40, length, true);
  return new Blob([head, ...pieces], { type: "audio/wav" });
}

/** Any file the browser can read, as an AudioBuffer.  Throws where it cannot. */
export async function decoded(blob) {
  const context = new OfflineAudioContext(1, 1, 48000);
  return context.decodeAudioData(await blob.arrayBuffer());
}

/** A stretch of an AudioBuffer, mixed to mono, as a WAV file. */
export function cut(buffer, from_s, to_s) {
  const from = Math.round(from_s * buffer.sampleRate);
  const to = Math.min(buffer.length, Math.round(to_s * buffer.sampleRate));
  const mixed = new Float32Array(to - from);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = from; i < to; i++) mixed[i - from] += samples[i] / buffer.numberOfChannels;
  }
  const whole = Int16Array.from(mixed, (value) => Math.max(-32768, Math.min(32767, Math.round(32768 * value))));
  return wavOf([whole], buffer.sampleRate);
}

const PEAK_S = 0.01;

/** The loudest sample of every 10 ms, as it comes: what a waveform shows. */
export class Peaks {
  constructor(rate_hz) {
    this.step = Math.round(PEAK_S * rate_hz);
    this.rate_hz = rate_hz;
    this.values = [];
    this.samples = 0;
  }

  add(pcm) {
    for (const value of pcm) {
      const at = Math.floor(this.samples++ / this.step);
      this.values[at] = Math.max(this.values[at] ?? 0, Math.abs(value) / 32768);
    }
  }

  get duration_s() {
    return this.samples / this.rate_hz;
  }
}

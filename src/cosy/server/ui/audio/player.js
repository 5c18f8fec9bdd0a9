// Plays PCM while it arrives: every piece becomes an AudioBufferSourceNode that starts on the sample after the last.
//
// Source nodes rather than an AudioWorklet, because those exist only on https and localhost, and a server in the
// living room has neither.  The context runs at the stream's own rate, so that no piece is resampled by itself and the
// joins are exact.

const MOST_BUFFER_S = 3;
const MARGIN_S = 0.02; // a start must lie in the future by this much to be on time
const FULL_SCALE = 32768;

let context = null;
let output = null;

/** The one audio context, made anew where the rate changes.  Call it while handling a click or a key. */
export function audioAt(rate_hz) {
  if (context?.sampleRate !== rate_hz) {
    context?.close();
    context = new AudioContext({ sampleRate: rate_hz, latencyHint: "interactive" });
    output = context.createGain();
    output.connect(context.destination);
  }
  if (context.state === "suspended") context.resume();
  return context;
}

/** For whoever wants to measure: the context and the node that everything goes through. */
export function graph() {
  return { context, output };
}

export class Player {
  /** States: waiting (for the buffer to fill), playing, done, stopped.  `onstate` hears of changes. */
  constructor(rate_hz, buffer_ms, onstate = () => undefined) {
    this.context = audioAt(rate_hz);
    this.rate_hz = rate_hz;
    this.state = "waiting";
    this.gaps = []; // {at_s, length_s}: silence where the next piece came too late
    this.received = 0; // samples
    this.scheduled = 0;
    this.heard_at_ms = null; // performance.now() of the first sound
    this.lead_s = buffer_ms / 1000;
    this.start_s = 0; // context time of sample 0, later by every gap
    this.queue = []; // Float32Arrays that wait
    this.queued = 0; // samples in it
    this.sources = new Set();
    this.complete = false;
    this.onstate = onstate;
  }

  push(pcm) {
    const samples = Float32Array.from(pcm, (value) => value / FULL_SCALE);
    this.received += samples.length;
    this.queue.push(samples);
    this.queued += samples.length;
    this.flow();
  }

  /** No more will come. */
  end() {
    this.complete = true;
    this.flow();
  }

  stop() {
    for (const source of this.sources) source.disconnect(), source.stop();
    this.sources.clear();
    this.queue = [];
    this.queued = 0;
    this.become("stopped");
  }

  /** Samples heard so far. */
  get played() {
    if (this.state === "waiting" && !this.scheduled) return 0;
    const at = (this.context.currentTime - this.start_s) * this.rate_hz;
    return Math.max(0, Math.min(this.scheduled, Math.round(at)));
  }

  get position_s() {
    return this.played / this.rate_hz;
  }

  flow() {
    if (this.state === "stopped" || this.state === "done") return;
    if (this.scheduled && this.state === "playing" && this.next_s < this.context.currentTime + MARGIN_S / 4) {
      if (!this.queued) return this.complete ? this.finish() : undefined;
      this.dry();
    }
    if (this.state === "waiting") {
      if (!this.complete && this.queued < this.lead_s * this.rate_hz) return;
      if (!this.queued) return this.finish();
      this.begin();
    }
    while (this.queue.length) this.schedule(this.queue.shift());
    this.queued = 0;
  }

  /** Context time at which the next sample is due. */
  get next_s() {
    return this.start_s + this.scheduled / this.rate_hz;
  }

  /** It ran dry: wait longer before going on, so that it does not stutter. */
  dry() {
    this.lead_s = Math.min(MOST_BUFFER_S, 2 * this.lead_s + 0.1);
    this.become("waiting");
  }

  begin() {
    const due_s = this.next_s;
    const now = Math.ceil((this.context.currentTime + MARGIN_S) * this.rate_hz) / this.rate_hz;
    if (this.scheduled) this.gaps.push({ at_s: this.scheduled / this.rate_hz, length_s: now - due_s });
    else this.heard_at_ms = performance.now() + 1000 * (MARGIN_S + (this.context.outputLatency || 0));
    this.start_s = now - this.scheduled / this.rate_hz;
    this.become("playing");
  }

  schedule(samples) {
    const buffer = this.context.createBuffer(1, samples.length, this.rate_hz);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(output);
    source.onended = () => this.ended(source);
    source.start(Math.round(this.next_s * this.rate_hz) / this.rate_hz);
    this.scheduled += samples.length;
    this.sources.add(source);
  }

  ended(source) {
    this.sources.delete(source);
    if (this.complete && !this.sources.size && !this.queued) this.finish();
  }

  finish() {
    if (this.state !== "stopped") this.become("done");
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onstate(state);
  }
}

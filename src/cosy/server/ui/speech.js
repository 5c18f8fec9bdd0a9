// One request over the WebSocket /cosy/v1/speech, from the first word to the last sample heard.

import { ApiError, info, socketAddress, watch } from "./api.js";
import { Player, audioAt } from "./audio/player.js";
import { Peaks, wavOf } from "./audio/wav.js";
import { batch, signal } from "./lib.js";
import { prefs } from "./prefs.js";

const TICK_MS = 50;

/** State of a run: connecting, speaking (audio is being made), playing (all is made), done, stopped, failed. */
export class Run {
  /** `options` are fields of the message `start`; `text` null: it comes by `send`; `live` false: play the whole. */
  constructor(options, { text = null, live = true } = {}) {
    this.options = options;
    this.text = text;
    this.live = live;
    this.begun_ms = text === null ? null : performance.now();
    this.state = signal("connecting");
    this.error = signal(null);
    this.segments = signal([]); // {index, text, start_s, end_s}: made so far
    this.position_s = signal(0); // of what is heard
    this.duration_s = signal(0); // of what is made
    this.first_audio_s = signal(null);
    this.rtf = signal(null);
    this.underruns = signal(0);
    this.seed = signal(options.seed ?? null);
    this.warnings = signal([]);
    this.sent = signal(0); // characters
    this.pieces = [];
    this.peaks = null;
    this.player = null;
    this.rate_hz = 0;
    this.waiting = []; // messages until the socket is open
    this.finished = new Promise((resolve) => (this.settle = resolve)); // true: all audio is here
    audioAt(options.sample_rate_hz ?? info.value.model.sample_rate_hz); // now, while a gesture is being handled
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(socketAddress("cosy/v1/speech"));
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.say({ type: "start", format: "pcm", ...this.options, text: this.text, key: prefs.key.value || null });
      this.waiting.splice(0).forEach((message) => this.say(message));
    };
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.take(data));
    this.socket.onclose = () => this.closed();
  }

  say(message) {
    if (this.socket.readyState === WebSocket.CONNECTING) this.waiting.push(message);
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  send(text) {
    this.begun_ms ??= performance.now();
    this.sent.value += text.length;
    this.say({ type: "text", text });
  }

  end() {
    this.say({ type: "end" });
  }

  /** At once, here and on the server. */
  stop() {
    if (!this.busy) return;
    this.say({ type: "stop" });
    this.player?.stop();
    this.over("stopped");
    setTimeout(() => this.socket.close(), 500); // the server says goodbye first
  }

  get busy() {
    return ["connecting", "speaking", "playing"].includes(this.state.value);
  }

  hear(message) {
    if (message.type === "started") this.started(message);
    else if (!this.busy) return;
    else if (message.type === "segment") this.segments.value = [...this.segments.value, message];
    else if (message.type === "progress") this.rtf.value = message.compute_s / (message.offset_s || 1);
    else if (message.type === "error") this.fail(new ApiError(message.code, message.message, message));
    else if (message.type === "done") this.made(message);
  }

  started({ rate_hz, seed }) {
    if (!this.busy) return;
    this.rate_hz = rate_hz;
    this.seed.value = seed;
    this.peaks = new Peaks(rate_hz);
    this.player = new Player(rate_hz, prefs.buffer_ms.value, (state) => this.playerBecame(state));
    this.state.value = "speaking";
    this.ticking = setInterval(() => this.tick(), TICK_MS);
  }

  take(data) {
    if (!this.player || !this.busy) return;
    this.first_audio_s.value ??= (performance.now() - this.begun_ms) / 1000;
    const pcm = new Int16Array(data);
    this.pieces.push(pcm);
    this.peaks.add(pcm);
    if (this.live) this.player.push(pcm);
    this.duration_s.value = this.peaks.duration_s;
  }

  made({ rtf, segments, seed, warnings }) {
    batch(() => {
      Object.assign(this.rtf, { value: rtf ?? this.rtf.value });
      this.segments.value = segments;
      this.seed.value = seed;
      this.warnings.value = warnings;
      this.state.value = "playing";
    });
    if (!this.live) this.pieces.forEach((pcm) => this.player.push(pcm));
    this.player.end();
    this.socket.close();
    this.settle(true);
  }

  playerBecame(state) {
    if (state === "done") this.over("done");
    this.tick();
  }

  tick() {
    this.position_s.value = this.player.position_s;
    this.underruns.value = this.player.gaps.length;
    this.player.flow();
  }

  closed() {
    if (this.state.value !== "connecting" && this.state.value !== "speaking") return;
    watch();
    this.fail(new ApiError("offline", ""));
  }

  fail(error) {
    this.error.value = error;
    this.over("failed");
    this.player?.end(); // what is there may be heard to its end
  }

  /** Something went wrong beside it. */
  complain = (error) => {
    this.error.value = error;
  };

  over(state) {
    clearInterval(this.ticking);
    if (this.busy) this.state.value = state; // what was heard to its end after a failure has failed all the same
    this.settle(false);
  }

  /** All audio so far as a file. */
  get wav() {
    return wavOf(this.pieces, this.rate_hz);
  }
}

/** The latest run of any page: there is one voice at a time. */
export const current = signal(null);

export function speak(options, how) {
  current.value?.stop();
  current.value = new Run(options, how);
  return current.value;
}

// `window.cosyStudio`: what tests and the curious may read, and nothing they can change.

import { graph } from "./audio/player.js";
import { current } from "./speech.js";

function metrics() {
  const run = current.peek();
  const player = run?.player;
  return {
    state: run?.state.peek() ?? "idle",
    rate_hz: run?.rate_hz ?? 0,
    samples_received: player?.received ?? 0,
    samples_scheduled: player?.scheduled ?? 0,
    samples_played: player?.played ?? 0,
    gaps: player ? player.gaps.map((gap) => ({ ...gap })) : [],
    first_audio_s: run?.first_audio_s.peek() ?? null,
    seed: run?.seed.peek() ?? null,
  };
}

function pcm() {
  return (current.peek()?.pieces ?? []).map((piece) => piece.slice());
}

Object.defineProperty(window, "cosyStudio", {
  value: Object.freeze({ metrics, pcm, graph: () => Object.freeze(graph()) }),
});

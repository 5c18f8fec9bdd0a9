// A file in a format the browser cannot write: made again by the server with the same seed, so the same audio.

import { call } from "./api.js";

const GAIN_STEP = 20; // dB per factor of ten

export function formatsOf(mode, formats) {
  const most = mode === "cross_lingual" ? ["wav", "mp3"] : ["wav", "mp3", "flac", "opus", "aac"];
  return most.filter((format) => formats.includes(format));
}

/** The audio of `options` (those of a Run) and a text, as a file of that format. */
export async function encoded(options, text, format) {
  return options.mode === "cross_lingual" ? byPai(options, text, format) : byOpenAi(options, text, format);
}

function byOpenAi(options, text, format) {
  const json = {
    model: "cosyvoice2",
    input: text,
    voice: options.voice,
    response_format: format,
    instructions: options.mode === "instruct" ? options.instruction : "",
    speed: options.speed,
    gain: options.gain_db,
    seed: options.seed,
    stream: false,
    ...(options.sample_rate_hz && { sample_rate: options.sample_rate_hz }),
  };
  return call("POST", "v1/audio/speech", { json, as: "blob" });
}

// OpenAI's interface has no word for the cross-lingual mode.
async function byPai(options, text, format) {
  const input = {
    mode: "cross_lingual_replication",
    text,
    reference_audio_id: options.voice,
    speed: options.speed,
    volume: 10 ** ((options.gain_db ?? 0) / GAIN_STEP),
    seed: options.seed,
    output_format: format,
    ...(options.sample_rate_hz && { sample_rate: options.sample_rate_hz }),
  };
  const answer = await call("POST", "api/v1/audio/speech", { json: { model: "cosyvoice2", stream: false, input } });
  const bytes = Uint8Array.from(atob(answer.output.audio.data), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: `audio/${format === "mp3" ? "mpeg" : format}` });
}

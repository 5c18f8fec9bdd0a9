// Subtitles of segments {text, start_s, end_s}, a sentence each.

/** The sentences of segments.  Within a segment only its ends are known: its sentences share it by their length. */
function sentences(segments) {
  return segments.flatMap(({ text, start_s, end_s }) => {
    const parts = [...new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text)];
    const at = (index) => start_s + (end_s - start_s) * (index / text.length);
    return parts.map(({ segment, index }) => ({ text: segment, start_s: at(index), end_s: at(index + segment.length) }));
  });
}

function clock(seconds, comma) {
  const ms = Math.round(1000 * seconds);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const rest = String(ms % 1000).padStart(3, "0");
  return `${two(ms / 3600000)}:${two((ms / 60000) % 60)}:${two((ms / 1000) % 60)}${comma}${rest}`;
}

const line = (text) => text.replace(/\s+/g, " ").trim();
const safe = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

const cues = (segments, comma, number, written) =>
  sentences(segments)
    .filter(({ text }) => line(text))
    .map(({ text, start_s, end_s }, i) => `${number(i)}${clock(start_s, comma)} --> ${clock(end_s, comma)}\n${written(line(text))}\n`)
    .join("\n");

export function srt(segments) {
  return new Blob([cues(segments, ",", (i) => `${i + 1}\n`, String)], { type: "application/x-subrip" });
}

export function vtt(segments) {
  return new Blob([`WEBVTT\n\n${cues(segments, ".", () => "", safe)}`], { type: "text/vtt" });
}
